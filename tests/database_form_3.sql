-- A dump of the ticket database in its third form, with uploads in several states, as that version
-- had made it. Such files exist: this one never changes. 1229865805 is "INCM".
PRAGMA application_id = 1229865805;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE chores (name TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO "chores" VALUES('sweep',5000.0);
CREATE TABLE claims (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            owner TEXT NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
INSERT INTO "claims" VALUES(1,80,90,'9c4f3620dcbb7c38');
CREATE TABLE digests (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            PRIMARY KEY (upload, start, stop)
        ) WITHOUT ROWID
        ;
INSERT INTO "digests" VALUES(1,0,40,'abababababababababababababababababababababababababababababababab');
CREATE TABLE orphans (
            id TEXT PRIMARY KEY,
            first_noted_at REAL NOT NULL,
            last_noted_at REAL NOT NULL
        ) WITHOUT ROWID
        ;
INSERT INTO "orphans" VALUES('orphan',100.0,100.0);
CREATE TABLE ranges (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
INSERT INTO "ranges" VALUES(1,0,40);
INSERT INTO "ranges" VALUES(1,60,70);
INSERT INTO "ranges" VALUES(3,5,9);
INSERT INTO "ranges" VALUES(5,0,50);
INSERT INTO "ranges" VALUES(6,0,7);
CREATE TABLE synced (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
INSERT INTO "synced" VALUES(1,0,40);
CREATE TABLE uploads (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL,
            created_at REAL NOT NULL,
            owner TEXT,
            secret TEXT NOT NULL,
            signal_finish_url TEXT,
            remove_file_when_finished INTEGER NOT NULL,
            max_length_bytes INTEGER,
            filename TEXT,
            length INTEGER,
            content_type TEXT,
            last_modified INTEGER,
            delivery_id TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            completed_at REAL,
            give_up_at REAL,
            reason TEXT,
            notified INTEGER NOT NULL,
            due_at REAL NOT NULL,
            lease TEXT
        , relative_path TEXT, accept TEXT, idle_timeout_s REAL, boot_id TEXT, sync_at REAL);
INSERT INTO "uploads" VALUES(1,'00000000-0000-4000-8000-000000000001','UPLOADING',1000.0,'ann','','http://app.example/finished',1,NULL,'Grüße.txt',100,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,'a/Grüße.txt','.txt',60.0,'00000000-0000-4000-8000-000000000001',1510.0);
INSERT INTO "uploads" VALUES(2,'00000000-0000-4000-8000-000000000002','CREATED',1000.0,'ann','','http://app.example/finished',1,NULL,NULL,NULL,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "uploads" VALUES(3,'00000000-0000-4000-8000-000000000003','UPLOADING',1000.0,NULL,'','http://app.example/finished',1,NULL,NULL,9223372036854775807,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,'00000000-0000-4000-8000-000000000001',1510.0);
INSERT INTO "uploads" VALUES(4,'00000000-0000-4000-8000-000000000004','CREATED',1000.0,'bob','','http://app.example/finished',1,NULL,NULL,9223372036854775807,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "uploads" VALUES(5,'00000000-0000-4000-8000-000000000005','COMPLETE',1000.0,'bob','','http://app.example/finished',1,NULL,NULL,50,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "uploads" VALUES(6,'00000000-0000-4000-8000-000000000006','FINISHED',1000.0,'cid','','http://app.example/finished',1,NULL,NULL,7,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "uploads" VALUES(7,'00000000-0000-4000-8000-000000000007','CANCELLED',1000.0,'dot','','http://app.example/finished',1,NULL,NULL,8,NULL,NULL,'',0,NULL,NULL,'enough',0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE INDEX uploads_by_due_at ON uploads (due_at);
CREATE INDEX uploads_by_sync_at ON uploads (sync_at) WHERE sync_at IS NOT NULL;
CREATE INDEX uploads_that_take_room ON uploads (owner) WHERE state NOT IN ('FINISHED', 'CANCELLED');
COMMIT;

-- A dump of the ticket database in its first form, with one upload, as that version had made it.
-- Such files exist: this one never changes. 1229865805 is "INCM".
PRAGMA application_id = 1229865805;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE claims (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            owner TEXT NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
CREATE TABLE digests (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            PRIMARY KEY (upload, start, stop)
        ) WITHOUT ROWID
        ;
INSERT INTO "digests" VALUES(1,0,40,'abababababababababababababababababababababababababababababababab');
CREATE TABLE ranges (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
INSERT INTO "ranges" VALUES(1,0,40);
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
        );
INSERT INTO "uploads" VALUES(1,'5d193227-06b0-4ea9-8ff0-a44407b7b260','UPLOADING',1000.0,'ann','s3cret','http://app.example/finished',1,5000,'Grüße.txt',100,'text/plain',1700000000123,'',0,NULL,NULL,NULL,0,2000.0,NULL);
CREATE INDEX uploads_by_due_at ON uploads (due_at);
COMMIT;

-- A dump of the ticket database in its fourth form, as that version had made it: with totals, in
-- which what is stored of a file of unknown length does not count. Such files exist: this one never
-- changes. 1229865805 is "INCM".
PRAGMA application_id = 1229865805;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE chores (name TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID;
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
CREATE TABLE orphans (
            id TEXT PRIMARY KEY,
            first_noted_at REAL NOT NULL,
            last_noted_at REAL NOT NULL
        ) WITHOUT ROWID
        ;
CREATE TABLE owner_usage (owner TEXT PRIMARY KEY, uploads INTEGER NOT NULL, open INTEGER NOT NULL, length_high INTEGER NOT NULL, length_low INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "owner_usage" VALUES('ann',2,2,0,100);
INSERT INTO "owner_usage" VALUES('bob',2,1,2147483647,4294967345);
INSERT INTO "owner_usage" VALUES('eve',1,1,0,0);
CREATE TABLE ranges (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
INSERT INTO "ranges" VALUES(1,0,40);
INSERT INTO "ranges" VALUES(2,0,7);
INSERT INTO "ranges" VALUES(3,0,11);
INSERT INTO "ranges" VALUES(3,20,23);
INSERT INTO "ranges" VALUES(5,0,50);
INSERT INTO "ranges" VALUES(7,0,9);
INSERT INTO "ranges" VALUES(8,0,5);
CREATE TABLE synced (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        ;
INSERT INTO "synced" VALUES(8,0,5);
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
        , relative_path TEXT, accept TEXT, idle_timeout_s REAL, boot_id TEXT, sync_at REAL, bytes_received INTEGER NOT NULL DEFAULT 0, bytes_synced INTEGER NOT NULL DEFAULT 0);
INSERT INTO "uploads" VALUES(1,'00000000-0000-4000-8000-000000000001','UPLOADING',1000.0,'ann','','http://app.example/finished',1,NULL,NULL,100,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,'00000000-0000-4000-8000-000000000001',1510.0,40,0);
INSERT INTO "uploads" VALUES(2,'00000000-0000-4000-8000-000000000002','UPLOADING',1000.0,'ann','','http://app.example/finished',1,NULL,NULL,NULL,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,'00000000-0000-4000-8000-000000000001',1510.0,7,0);
INSERT INTO "uploads" VALUES(3,'00000000-0000-4000-8000-000000000003','UPLOADING',1000.0,NULL,'','http://app.example/finished',1,NULL,NULL,NULL,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,'00000000-0000-4000-8000-000000000001',1510.0,14,0);
INSERT INTO "uploads" VALUES(4,'00000000-0000-4000-8000-000000000004','CREATED',1000.0,'bob','','http://app.example/finished',1,NULL,NULL,9223372036854775807,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "uploads" VALUES(5,'00000000-0000-4000-8000-000000000005','COMPLETE',1000.0,'bob','','http://app.example/finished',1,NULL,NULL,50,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL,50,0);
INSERT INTO "uploads" VALUES(6,'00000000-0000-4000-8000-000000000006','CREATED',1000.0,'eve','','http://app.example/finished',1,NULL,NULL,NULL,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "uploads" VALUES(7,'00000000-0000-4000-8000-000000000007','CANCELLED',1000.0,'cid','','http://app.example/finished',1,NULL,NULL,NULL,NULL,NULL,'',0,NULL,NULL,'enough',0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL,9,0);
INSERT INTO "uploads" VALUES(8,'00000000-0000-4000-8000-000000000008','FINISHED',1000.0,'cid','','http://app.example/finished',1,NULL,NULL,5,NULL,NULL,'',0,NULL,NULL,NULL,0,2000.0,NULL,NULL,NULL,NULL,NULL,NULL,5,5);
CREATE TABLE usage (length_high INTEGER NOT NULL, length_low INTEGER NOT NULL, promised_high INTEGER NOT NULL, promised_low INTEGER NOT NULL);
INSERT INTO "usage" VALUES(2147483647,4294967445,2147483647,4294967355);
CREATE INDEX uploads_by_due_at ON uploads (due_at);
CREATE INDEX uploads_by_sync_at ON uploads (sync_at) WHERE sync_at IS NOT NULL;
CREATE TRIGGER upload_comes AFTER INSERT ON uploads
    BEGIN
        UPDATE usage SET length_high = length_high + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) >> 32), length_low = length_low + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) & 4294967295), promised_high = promised_high + ((NEW.state IN ('CREATED', 'UPLOADING')) * IFNULL(NEW.length - NEW.bytes_received, 0) >> 32), promised_low = promised_low + ((NEW.state IN ('CREATED', 'UPLOADING')) * IFNULL(NEW.length - NEW.bytes_received, 0) & 4294967295);
        
    INSERT OR IGNORE INTO owner_usage
        SELECT NEW.owner, 0, 0, 0, 0 WHERE NEW.owner NOT NULL AND (NEW.state NOT IN ('FINISHED', 'CANCELLED'));
    
        UPDATE owner_usage SET uploads = uploads + (NEW.state NOT IN ('FINISHED', 'CANCELLED')), open = open + (NEW.state IN ('CREATED', 'UPLOADING')), length_high = length_high + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) >> 32), length_low = length_low + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) & 4294967295) WHERE owner = NEW.owner;
    END;
CREATE TRIGGER upload_goes AFTER DELETE ON uploads
    BEGIN
        UPDATE usage SET length_high = length_high - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) >> 32), length_low = length_low - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) & 4294967295), promised_high = promised_high - ((OLD.state IN ('CREATED', 'UPLOADING')) * IFNULL(OLD.length - OLD.bytes_received, 0) >> 32), promised_low = promised_low - ((OLD.state IN ('CREATED', 'UPLOADING')) * IFNULL(OLD.length - OLD.bytes_received, 0) & 4294967295);
        UPDATE owner_usage SET uploads = uploads - (OLD.state NOT IN ('FINISHED', 'CANCELLED')), open = open - (OLD.state IN ('CREATED', 'UPLOADING')), length_high = length_high - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) >> 32), length_low = length_low - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) & 4294967295) WHERE owner = OLD.owner;
        DELETE FROM owner_usage WHERE owner = OLD.owner AND uploads = 0;
    END;
CREATE TRIGGER upload_changes AFTER UPDATE OF state, length ON uploads
    WHEN (
        OLD.length IS NOT NEW.length
        OR (OLD.state NOT IN ('FINISHED', 'CANCELLED')) != (NEW.state NOT IN ('FINISHED', 'CANCELLED'))
        OR (OLD.state IN ('CREATED', 'UPLOADING')) != (NEW.state IN ('CREATED', 'UPLOADING'))
    )
    BEGIN
        UPDATE usage SET length_high = length_high + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) >> 32) - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) >> 32), length_low = length_low + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) & 4294967295) - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) & 4294967295), promised_high = promised_high + ((NEW.state IN ('CREATED', 'UPLOADING')) * IFNULL(NEW.length - NEW.bytes_received, 0) >> 32) - ((OLD.state IN ('CREATED', 'UPLOADING')) * IFNULL(OLD.length - OLD.bytes_received, 0) >> 32), promised_low = promised_low + ((NEW.state IN ('CREATED', 'UPLOADING')) * IFNULL(NEW.length - NEW.bytes_received, 0) & 4294967295) - ((OLD.state IN ('CREATED', 'UPLOADING')) * IFNULL(OLD.length - OLD.bytes_received, 0) & 4294967295);
        
    INSERT OR IGNORE INTO owner_usage
        SELECT NEW.owner, 0, 0, 0, 0 WHERE NEW.owner NOT NULL AND (NEW.state NOT IN ('FINISHED', 'CANCELLED'));
    
        UPDATE owner_usage SET uploads = uploads + (NEW.state NOT IN ('FINISHED', 'CANCELLED')) - (OLD.state NOT IN ('FINISHED', 'CANCELLED')), open = open + (NEW.state IN ('CREATED', 'UPLOADING')) - (OLD.state IN ('CREATED', 'UPLOADING')), length_high = length_high + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) >> 32) - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) >> 32), length_low = length_low + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) & 4294967295) - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) & 4294967295)
            WHERE owner = NEW.owner;
        DELETE FROM owner_usage WHERE owner = OLD.owner AND uploads = 0;
    END;
CREATE TRIGGER upload_grows AFTER UPDATE OF bytes_received ON uploads
    WHEN NEW.length NOT NULL AND (NEW.state IN ('CREATED', 'UPLOADING')) AND NOT (
        OLD.length IS NOT NEW.length
        OR (OLD.state NOT IN ('FINISHED', 'CANCELLED')) != (NEW.state NOT IN ('FINISHED', 'CANCELLED'))
        OR (OLD.state IN ('CREATED', 'UPLOADING')) != (NEW.state IN ('CREATED', 'UPLOADING'))
    )
    BEGIN
        UPDATE usage SET length_high = length_high + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) >> 32) - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) >> 32), length_low = length_low + ((NEW.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(NEW.length, 0) & 4294967295) - ((OLD.state NOT IN ('FINISHED', 'CANCELLED')) * IFNULL(OLD.length, 0) & 4294967295), promised_high = promised_high + ((NEW.state IN ('CREATED', 'UPLOADING')) * IFNULL(NEW.length - NEW.bytes_received, 0) >> 32) - ((OLD.state IN ('CREATED', 'UPLOADING')) * IFNULL(OLD.length - OLD.bytes_received, 0) >> 32), promised_low = promised_low + ((NEW.state IN ('CREATED', 'UPLOADING')) * IFNULL(NEW.length - NEW.bytes_received, 0) & 4294967295) - ((OLD.state IN ('CREATED', 'UPLOADING')) * IFNULL(OLD.length - OLD.bytes_received, 0) & 4294967295);
    END;
CREATE TRIGGER upload_keeps_its_owner BEFORE UPDATE OF owner ON uploads
    WHEN OLD.owner IS NOT NEW.owner
    BEGIN
        SELECT RAISE(ABORT, 'an upload keeps its owner');
    END;
CREATE TRIGGER ranges_come AFTER INSERT ON ranges BEGIN UPDATE uploads SET bytes_received = bytes_received + NEW.stop - NEW.start WHERE key = NEW.upload; END;
CREATE TRIGGER ranges_go AFTER DELETE ON ranges BEGIN UPDATE uploads SET bytes_received = bytes_received - (OLD.stop - OLD.start) WHERE key = OLD.upload; END;
CREATE TRIGGER ranges_change AFTER UPDATE ON ranges BEGIN UPDATE uploads SET bytes_received = bytes_received - (OLD.stop - OLD.start) + NEW.stop - NEW.start WHERE key = NEW.upload; END;
CREATE TRIGGER synced_come AFTER INSERT ON synced BEGIN UPDATE uploads SET bytes_synced = bytes_synced + NEW.stop - NEW.start WHERE key = NEW.upload; END;
CREATE TRIGGER synced_go AFTER DELETE ON synced BEGIN UPDATE uploads SET bytes_synced = bytes_synced - (OLD.stop - OLD.start) WHERE key = OLD.upload; END;
CREATE TRIGGER synced_change AFTER UPDATE ON synced BEGIN UPDATE uploads SET bytes_synced = bytes_synced - (OLD.stop - OLD.start) + NEW.stop - NEW.start WHERE key = NEW.upload; END;
COMMIT;

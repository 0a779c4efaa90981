-- Times are text in UTC of one width (2026-11-20T10:25:00.000000Z), so that they sort as text; ip_addresses is a JSON list.
CREATE TABLE servers (
    vm_uuid TEXT PRIMARY KEY,
    name TEXT,
    owner TEXT,
    pool TEXT,
    host TEXT,
    os TEXT,
    template TEXT,
    cpus INTEGER,
    memory_bytes INTEGER,
    disk_bytes INTEGER,
    ip_addresses TEXT NOT NULL DEFAULT '[]',
    created_at TEXT,
    ready_at TEXT,
    expires_at TEXT,
    deleted_at TEXT,
    create_seconds REAL,
    live_seconds REAL,
    delete_seconds REAL,
    end_reason TEXT CHECK (end_reason IN ('destroyed', 'expired', 'failed', 'vanished'))
) STRICT, WITHOUT ROWID;
CREATE INDEX servers_newest ON servers (created_at DESC, vm_uuid);
CREATE INDEX servers_living ON servers (pool) WHERE end_reason IS NULL AND deleted_at IS NULL;

CREATE TABLE renewals (
    vm_uuid TEXT NOT NULL,
    "at" TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    "by" TEXT,
    PRIMARY KEY (vm_uuid, "at", expires_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE servers (
    vm_uuid uuid PRIMARY KEY,
    name text,
    owner text,
    pool text,
    host text,
    os text,
    template text,
    cpus bigint,
    memory_bytes bigint,
    disk_bytes bigint,
    ip_addresses inet[] NOT NULL DEFAULT '{}',
    created_at timestamptz,
    ready_at timestamptz,
    expires_at timestamptz,
    deleted_at timestamptz,
    create_seconds double precision,
    live_seconds double precision,
    delete_seconds double precision,
    end_reason text CHECK (end_reason IN ('destroyed', 'expired', 'failed', 'vanished'))
);
CREATE INDEX servers_newest ON servers (created_at DESC NULLS LAST, vm_uuid);
CREATE INDEX servers_living ON servers (pool) WHERE end_reason IS NULL AND deleted_at IS NULL;

CREATE TABLE renewals (
    vm_uuid uuid NOT NULL,
    "at" timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    "by" text,
    PRIMARY KEY (vm_uuid, "at", expires_at)
);

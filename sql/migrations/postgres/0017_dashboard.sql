-- What the dashboard has to know after a restart, and from its other instances.

-- Sessions of a user that began by `valid_from` have ended. The row means nothing after `ends_at`, when they
-- would have ended anyway.
CREATE TABLE sign_outs (
    user_id    TEXT    PRIMARY KEY,
    valid_from BIGINT  NOT NULL,
    ends_at    BIGINT  NOT NULL
);

CREATE INDEX sign_outs_ended ON sign_outs (ends_at);

-- One-time links and states of sign-ins that were used, each until it would have ended.
CREATE TABLE used_codes (
    code    TEXT    PRIMARY KEY,
    ends_at BIGINT  NOT NULL
);

CREATE INDEX used_codes_ended ON used_codes (ends_at);

-- The random key of the sessions where no setting gives one.
CREATE TABLE dashboard_keys (
    id    BIGINT  PRIMARY KEY CHECK (id = 1),
    value TEXT    NOT NULL
);

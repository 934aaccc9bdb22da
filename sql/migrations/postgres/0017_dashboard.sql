-- What the dashboard must remember across restarts and share between instances.

-- The user's sessions that began by `valid_from` have ended. After `ends_at` they would have expired, and the
-- row means nothing.
CREATE TABLE sign_outs (
    user_id    TEXT    PRIMARY KEY,
    valid_from BIGINT  NOT NULL,
    ends_at    BIGINT  NOT NULL
);

CREATE INDEX sign_outs_ended ON sign_outs (ends_at);

-- Used one-time links and sign-in states, each kept until it would have expired.
CREATE TABLE used_codes (
    code    TEXT    PRIMARY KEY,
    ends_at BIGINT  NOT NULL
);

CREATE INDEX used_codes_ended ON used_codes (ends_at);

-- The random key of the sessions, if no setting gives one.
CREATE TABLE dashboard_keys (
    id    BIGINT  PRIMARY KEY CHECK (id = 1),
    value TEXT    NOT NULL
);

-- Whether this is the session that was marked.
SELECT COALESCE(current_setting('ocf_scheduler.session', TRUE) = :mark, FALSE) AS has_mark;

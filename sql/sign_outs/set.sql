-- Ends the sessions of a user. Of two concurrent sign-outs the later one counts.
INSERT INTO sign_outs (user_id, valid_from, ends_at)
VALUES (:user_id, :valid_from, :ends_at)
    ON CONFLICT (user_id) DO UPDATE
   SET valid_from = :valid_from, ends_at = :ends_at
 WHERE sign_outs.valid_from < :valid_from;

-- Up to when the sessions of a user have ended, by primary key.
SELECT valid_from FROM sign_outs WHERE user_id = :user_id;

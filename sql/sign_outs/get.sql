-- Sessions of the user from before this time have ended. By primary key.
SELECT valid_from FROM sign_outs WHERE user_id = :user_id;

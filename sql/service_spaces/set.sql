-- Suspends or resumes the space.
UPDATE service_spaces SET is_suspended = :is_suspended WHERE space_guid = :space_guid;

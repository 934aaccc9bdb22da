-- After a start: the clock may have been set back meanwhile.
UPDATE strays SET doubt_until = :latest WHERE doubt_until > :latest;

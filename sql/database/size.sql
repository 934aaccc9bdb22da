-- Bytes, from the database itself: no file is read.
SELECT page_count * page_size AS size FROM pragma_page_count() CROSS JOIN pragma_page_size();

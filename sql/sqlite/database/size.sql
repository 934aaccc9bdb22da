-- Bytes, as the database itself knows it: no file is looked at.
SELECT page_count * page_size FROM pragma_page_count() CROSS JOIN pragma_page_size();

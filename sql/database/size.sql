-- In bytes. SQLite knows it without reading the file.
SELECT page_count * page_size AS size FROM pragma_page_count() CROSS JOIN pragma_page_size();

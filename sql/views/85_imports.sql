-- The files that imported episodes were read from: the first is where the record lies, its videos are further rows.
create view import_files as
select import_name, episode_id, unmappable, format, path, record, imported_at, name as file, files ->> name as sha256
from (
    select import_name, episode_id, unmappable, format, path, record, imported_at, files, unnest(json_keys(files)) as name
    from imports
);

-- question: Where did this episode come from?
-- param episode: an episode: a prefix of its id
-- show: source, actor, task, seed, settings, import_name, format, path, file, record, mapping, imported_at
--
-- An imported episode has the dataset, the file, the record in it, the digests of all files that it was read from, and
-- the mapping that made it ours. Of any other, `source`, `actor` and `settings` say who acted, and `seed` from where.
select
    episodes.episode_id,
    episodes.source,
    episodes.actor,
    episodes.task,
    episodes.seed,
    imports.import_name,
    imports.format,
    imports.path,
    imports.file,
    imports.record,
    imports.files,
    imports.mapping,
    imports.imported_at,
    episodes.settings
from episodes
left join imports using (episode_id)
where episodes.episode_id = $episode
order by import_name, imported_at;

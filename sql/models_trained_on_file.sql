-- question: Which models were trained on episodes of this imported file?
-- param file: a file's name within its dataset, a prefix of its SHA-256, or the name of an import
-- show: kind, published_as, model_id, import_name, file, episodes
--
-- Counted are the model's own training episodes; what was made from these models is downstream_of's and
-- models_trained_on's question.
with chosen as (
    select import_name, file, sha256, episode_id
    from import_files
    where unmappable is null and (file = $file or import_name = $file or (length($file) >= 8 and starts_with(sha256, $file)))
)

select
    models.kind,
    (select string_agg(concat_ws('/', campaign, nullif(iteration, '')), ', ' order by campaign, iteration)
     from model_nodes where model_nodes.model_id = models.model_id) as published_as,
    models.model_id,
    chosen.import_name,
    chosen.file,
    chosen.sha256,
    count(distinct membership.episode_id) as episodes
from training_membership as membership
join chosen using (episode_id)
join models using (model_id)
group by models.kind, models.model_id, chosen.import_name, chosen.file, chosen.sha256
order by models.kind, models.model_id, chosen.import_name, chosen.file;

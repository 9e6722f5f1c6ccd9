-- The state of every node of the asset graph: its newest materialization.
create view current as
select *
from materializations
qualify row_number() over (partition by asset, campaign, iteration order by materialized_at desc, data_version) = 1;

-- SANS of every iteration as it stands now.
create view current_sans as
select current.campaign, current.iteration, sans.*
from current
join sans on sans.sans_version = current.data_version
where current.asset = 'sans';

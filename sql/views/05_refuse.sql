-- Stops an audit that must not answer: the person reads the reason and no row.
create macro refuse(reason) as error('refused: ' || reason);

"""Quality: facts measured on every episode, the rules they are held against, and what must hold of every table."""

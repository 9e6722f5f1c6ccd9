"""worldvla: a video world model and a VLA policy that improve each other, with lineage."""

"""What is recorded: episodes, their images, and the decoded form that models read."""

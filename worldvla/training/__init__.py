"""What every training shares: resumable checkpoints, device and precision, progress."""

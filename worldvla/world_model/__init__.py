"""The world model: autoencoder, video transformer, reward head, imagination."""

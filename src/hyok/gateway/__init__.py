"""The S3 door: requests of apps in, sealed objects behind."""

"""Reads donors in object storage (S3, Google Cloud Storage, Azure) and on web servers, with obstore."""

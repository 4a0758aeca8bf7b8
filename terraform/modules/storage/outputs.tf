output "bucket_names" {
  description = "Names of the buckets: `originals`, `derivatives` and `access_logs`."
  value = {
    originals   = google_storage_bucket.originals.name
    derivatives = google_storage_bucket.derivatives.name
    access_logs = google_storage_bucket.access_logs.name
  }
}

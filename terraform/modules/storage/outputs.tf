output "bucket_names" {
  description = "Names of the buckets: `originals`, `derivatives`, `scratch` and `access_logs`."
  value = {
    originals   = google_storage_bucket.originals.name
    derivatives = google_storage_bucket.derivatives.name
    scratch     = google_storage_bucket.scratch.name
    access_logs = google_storage_bucket.access_logs.name
  }
}

output "force_destroy" {
  description = "Whether destroying removes any bucket with its contents."
  value       = anytrue([google_storage_bucket.originals.force_destroy, google_storage_bucket.derivatives.force_destroy, google_storage_bucket.scratch.force_destroy, google_storage_bucket.access_logs.force_destroy])
}

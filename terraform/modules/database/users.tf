# No user has a password: each is a service account that logs in with its own token.
resource "google_sql_user" "service_account" {
  for_each = var.users

  project  = var.project_id
  instance = google_sql_database_instance.this.name
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"

  # Login names omit this suffix, because PostgreSQL limits their length.
  name           = trimsuffix(each.value.service_account_email, ".gserviceaccount.com")
  database_roles = each.value.database_roles

  # A role that owns tables cannot be dropped. It is removed with its instance.
  deletion_policy = "ABANDON"
}

output "connection_name" {
  description = "`project:region:name`, as the connector takes it."
  value       = "${var.project_id}:${var.region}:${google_sql_database_instance.this.name}"
}

output "instance_name" {
  description = "Name of the instance."
  value       = google_sql_database_instance.this.name
}

output "database_name" {
  description = "Name of the database."
  value       = google_sql_database.this.name
}

output "user_names" {
  description = "Names under which the service accounts log in, by the keys of `users`."
  value       = { for key, user in google_sql_user.service_account : key => user.name }
}

output "max_connections" {
  description = "How many connections the instance takes."
  value       = var.instance.max_connections
}

output "availability_type" {
  description = "Whether the instance has a standby in another zone: `REGIONAL` or `ZONAL`."
  value       = google_sql_database_instance.this.settings[0].availability_type
}

output "deletion_protection" {
  description = "Whether neither a plan nor any other client may delete the instance."
  value       = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
}

output "user_roles" {
  description = "Roles that Cloud SQL gives each login by itself, by the keys of `users`; none for whom the migrations grant all."
  value       = { for key, user in google_sql_user.service_account : key => user.database_roles }
}

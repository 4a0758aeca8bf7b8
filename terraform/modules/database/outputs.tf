output "connection_name" {
  description = "`project:region:name`, in the connector's format."
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
  description = "Login names of the service accounts, by the keys of `users`."
  value       = { for key, user in google_sql_user.service_account : key => user.name }
}

output "max_connections" {
  description = "Maximum number of connections of the instance."
  value       = var.instance.max_connections
}

output "availability_type" {
  description = "Whether the instance has a standby in another zone: `REGIONAL` or `ZONAL`."
  value       = google_sql_database_instance.this.settings[0].availability_type
}

output "deletion_protection" {
  description = "Whether the instance is protected against deletion by plans and other clients."
  value       = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
}

output "user_roles" {
  description = "Roles that Cloud SQL grants each login, by the keys of `users`. Empty if migrations grant all rights."
  value       = { for key, user in google_sql_user.service_account : key => user.database_roles }
}

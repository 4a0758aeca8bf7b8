resource "google_sql_database_instance" "this" {
  project          = var.project_id
  region           = var.region
  name             = var.instance.name
  database_version = "POSTGRES_18"

  encryption_key_name = var.kms_key

  # One guards against a plan, the other (below) against every other client.
  deletion_protection = var.instance.deletion_protection

  settings {
    # Newer versions default to ENTERPRISE_PLUS, which refuses small machines.
    edition           = "ENTERPRISE"
    tier              = var.instance.tier
    availability_type = var.instance.availability_type
    activation_policy = "ALWAYS"
    user_labels       = var.labels

    disk_type             = "PD_SSD"
    disk_size             = var.instance.disk_size_gb
    disk_autoresize       = true
    disk_autoresize_limit = var.instance.disk_size_limit_gb

    deletion_protection_enabled = var.instance.deletion_protection
    retain_backups_on_delete    = var.instance.deletion_protection

    # Nobody gets in but through a connector, which brings a client certificate and an IAM identity.
    connector_enforcement = "REQUIRED"

    ip_configuration {
      ipv4_enabled                                  = false
      private_network                               = var.private_network_id
      ssl_mode                                      = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
      enable_private_path_for_google_cloud_services = false
    }

    backup_configuration {
      enabled                        = true
      start_time                     = var.backups.start_time
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 14
        retention_unit   = "COUNT"
      }
    }

    final_backup_config {
      enabled        = true
      retention_days = var.backups.final_retention_days
    }

    insights_config {
      query_insights_enabled  = true
      query_plans_per_minute  = 5
      query_string_length     = 1024
      record_application_tags = true
      # An address is a person's data; the load balancer's log has it where it is needed.
      record_client_address = false
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    dynamic "database_flags" {
      for_each = local.flags

      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    # The disk grows by itself, and a plan must not try to shrink it.
    ignore_changes = [settings[0].disk_size]
  }
}

locals {
  flags = {
    "cloudsql.iam_authentication" = "on"
    "cloudsql.enable_pgaudit"     = "on"
    "pgaudit.log"                 = "ddl,role"
    max_connections               = tostring(var.instance.max_connections)
    log_checkpoints               = "on"
    log_connections               = "on"
    log_disconnections            = "on"
    log_lock_waits                = "on"
    log_min_error_statement       = "error"
    log_min_messages              = "warning"
    log_statement                 = "ddl"
    log_temp_files                = "0"
    # Statements hold values, and a log must not: slow ones are found by query insights, which normalises them.
    log_min_duration_statement = "-1"
  }
}

resource "google_sql_database" "this" {
  project  = var.project_id
  instance = google_sql_database_instance.this.name
  name     = "image_manager"
  charset  = "UTF8"

  # It goes with its instance; a DROP would wait for every connection.
  deletion_policy = "ABANDON"
}

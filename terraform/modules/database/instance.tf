resource "google_sql_database_instance" "this" {
  project          = var.project_id
  region           = var.region
  name             = var.instance.name
  database_version = "POSTGRES_18"

  encryption_key_name = var.kms_key

  # This protects against plans; the setting below protects against every other client.
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

    # Connections are possible only through a connector, which brings a client certificate and an IAM identity.
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
      # Addresses are personal data. The load balancer logs them where they are needed.
      record_client_address = false
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }

    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }

    database_flags {
      name  = "pgaudit.log"
      value = "ddl,role"
    }

    database_flags {
      name  = "max_connections"
      value = tostring(var.instance.max_connections)
    }

    # A prepared transaction that nobody ends would hold up the feed for good.
    database_flags {
      name  = "max_prepared_transactions"
      value = "0"
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_connections"
      value = "on"
    }

    database_flags {
      name  = "log_disconnections"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }

    database_flags {
      name  = "log_min_messages"
      value = "warning"
    }

    database_flags {
      name  = "log_statement"
      value = "ddl"
    }

    database_flags {
      name  = "log_temp_files"
      value = "0"
    }

    # Statements contain values, which must not be logged. Query insights finds slow ones and normalises them.
    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }
  }

  lifecycle {
    # The disk grows automatically, and a plan must not try to shrink it.
    ignore_changes = [settings[0].disk_size]
  }
}

resource "google_sql_database" "this" {
  project  = var.project_id
  instance = google_sql_database_instance.this.name
  name     = "image_manager"
  charset  = "UTF8"

  # Removed with its instance, because a DROP would wait for every connection.
  deletion_policy = "ABANDON"
}

mock_provider "google" {}

variables {
  project_id         = "example-project"
  region             = "europe-west1"
  private_network_id = "projects/example-project/global/networks/image-manager"
  instance           = { name = "image-manager-k3f9", tier = "db-custom-1-3840" }
  users = {
    api      = { service_account_email = "image-api@example-project.iam.gserviceaccount.com" }
    migrator = { service_account_email = "image-migrate@example-project.iam.gserviceaccount.com", database_roles = ["cloudsqlsuperuser"] }
  }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "version_is_pinned" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.database_version == "POSTGRES_18"
    error_message = "Another version of PostgreSQL."
  }
}

run "edition_is_said" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].edition == "ENTERPRISE"
    error_message = "The edition would be ENTERPRISE_PLUS."
  }
}

run "no_public_address" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled == false
    error_message = "The database has a public address."
  }
}

run "no_network_is_authorized" {
  command = plan

  assert {
    condition     = length(google_sql_database_instance.this.settings[0].ip_configuration[0].authorized_networks) == 0
    error_message = "A network outside is let in."
  }
}

run "private_network_is_used" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].private_network == var.private_network_id
    error_message = "The instance is not in the network."
  }
}

run "client_certificates_are_required" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    error_message = "A connection without a client certificate is taken."
  }
}

run "connector_is_required" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].connector_enforcement == "REQUIRED"
    error_message = "A client can go round the connector."
  }
}

run "iam_logs_in" {
  command = plan

  assert {
    condition     = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["cloudsql.iam_authentication"] == "on"
    error_message = "IAM authentication is off."
  }
}

run "connections_are_said" {
  command = plan

  assert {
    condition     = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["max_connections"] == "100"
    error_message = "The number of connections is left to the machine's size."
  }
}

run "nothing_is_prepared" {
  command = plan

  assert {
    condition     = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["max_prepared_transactions"] == "0"
    error_message = "A prepared transaction holds up the feed."
  }
}

run "statements_are_not_logged_by_duration" {
  command = plan

  assert {
    condition     = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["log_min_duration_statement"] == "-1"
    error_message = "Values of statements would be in the log."
  }
}

run "point_in_time_recovery_is_on" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].backup_configuration[0].point_in_time_recovery_enabled && google_sql_database_instance.this.settings[0].backup_configuration[0].transaction_log_retention_days == 7
    error_message = "No way back to a point in time."
  }
}

run "fourteen_backups_are_kept" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].backup_configuration[0].enabled && google_sql_database_instance.this.settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups == 14
    error_message = "Not 14 backups."
  }
}

run "a_final_backup_is_made" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].final_backup_config[0].enabled
    error_message = "A deleted instance leaves no backup."
  }
}

run "insights_are_on_without_addresses" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].insights_config[0].query_insights_enabled && !google_sql_database_instance.this.settings[0].insights_config[0].record_client_address
    error_message = "Query insights are off, or keep addresses."
  }
}

run "terraform_protects_by_default" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.deletion_protection
    error_message = "A plan may delete the instance."
  }
}

run "the_platform_protects_by_default" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].deletion_protection_enabled
    error_message = "Any client may delete the instance."
  }
}

run "disk_grows_to_a_limit" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].disk_autoresize && google_sql_database_instance.this.settings[0].disk_autoresize_limit == 100
    error_message = "The disk does not grow, or without a limit."
  }
}

run "user_names_drop_the_suffix" {
  command = plan

  assert {
    condition     = google_sql_user.service_account["api"].name == "image-api@example-project.iam"
    error_message = "The user's name is not the one that Cloud SQL takes."
  }
}

run "users_are_service_accounts" {
  command = plan

  assert {
    condition     = alltrue([for user in google_sql_user.service_account : user.type == "CLOUD_IAM_SERVICE_ACCOUNT"])
    error_message = "A user is not a service account."
  }
}

run "no_user_has_a_password" {
  command = plan

  assert {
    condition     = alltrue([for user in google_sql_user.service_account : user.password == null && user.password_wo == null])
    error_message = "A user has a password."
  }
}

run "no_root_password" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.root_password == null && google_sql_database_instance.this.root_password_wo == null
    error_message = "The instance has a password."
  }
}

run "only_the_migrator_is_privileged" {
  command = plan

  assert {
    condition     = google_sql_user.service_account["api"].database_roles == null && google_sql_user.service_account["migrator"].database_roles == tolist(["cloudsqlsuperuser"])
    error_message = "The roles of the users are wrong."
  }
}

run "tables_survive_the_plan" {
  command = plan

  assert {
    condition     = google_sql_database.this.deletion_policy == "ABANDON" && alltrue([for user in google_sql_user.service_account : user.deletion_policy == "ABANDON"])
    error_message = "A destroy would fail on what owns tables."
  }
}

run "a_key_of_ones_own_is_used" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = google_sql_database_instance.this.encryption_key_name == var.kms_key
    error_message = "The key is not used."
  }
}

run "database_has_the_services_name" {
  command = plan

  assert {
    condition     = google_sql_database.this.name == "image_manager"
    error_message = "The services look for another database."
  }
}

run "name_without_suffix_is_refused" {
  command = plan

  variables {
    instance = { name = "image-manager", tier = "db-f1-micro" }
  }

  expect_failures = [var.instance]
}

run "tier_of_another_edition_is_refused" {
  command = plan

  variables {
    instance = { name = "image-manager-k3f9", tier = "db-perf-optimized-N-2" }
  }

  expect_failures = [var.instance]
}

run "unknown_availability_is_refused" {
  command = plan

  variables {
    instance = { name = "image-manager-k3f9", tier = "db-f1-micro", availability_type = "GLOBAL" }
  }

  expect_failures = [var.instance]
}

run "disk_limit_below_size_is_refused" {
  command = plan

  variables {
    instance = { name = "image-manager-k3f9", tier = "db-f1-micro", disk_size_gb = 50, disk_size_limit_gb = 20 }
  }

  expect_failures = [var.instance]
}

run "too_few_connections_are_refused" {
  command = plan

  variables {
    instance = { name = "image-manager-k3f9", tier = "db-f1-micro", max_connections = 5 }
  }

  expect_failures = [var.instance]
}

run "malformed_backup_time_is_refused" {
  command = plan

  variables {
    backups = { start_time = "25:00" }
  }

  expect_failures = [var.backups]
}

run "person_as_user_is_refused" {
  command = plan

  variables {
    users = { api = { service_account_email = "somebody@example.com" } }
  }

  expect_failures = [var.users]
}

run "zone_is_refused" {
  command = plan

  variables {
    region = "europe-west1-b"
  }

  expect_failures = [var.region]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}

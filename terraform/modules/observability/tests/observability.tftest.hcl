mock_provider "google" {
  mock_resource "google_monitoring_slo" {
    override_during = plan
    defaults        = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/slo" }
  }
}

variables {
  project_id          = "example-project"
  project_number      = "123456789012"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]
  watched = {
    api           = { name = "image-api", max_instances = 4 }
    processor     = { name = "image-processor", max_instances = 8 }
    job_name      = "image-migrate"
    database      = { instance_name = "image-manager-k3f9", max_connections = 100 }
    subscriptions = { uploads = "image-uploads-push", analyses = "image-analyses-push", dead_letters = "image-dead-letters-pull" }
    api_host      = "images.example.com"
  }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "dead_letters_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["dead-letters"].conditions[0].condition_threshold[0].filter, "subscription/num_undelivered_messages")
    error_message = "The alert watches another metric."
  }
}

run "dead_letters_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["dead-letters"].conditions[0].condition_threshold[0].threshold_value == 0 && google_monitoring_alert_policy.threshold["dead-letters"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["dead-letters"].conditions[0].condition_threshold[0].duration == "0s"
    error_message = "The alert fires at another threshold."
  }
}

run "failed_images_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["failed-images"].conditions[0].condition_threshold[0].filter, "logging.googleapis.com/user/${google_logging_metric.images_failed.name}\"") && google_logging_metric.images_failed.label_extractors["code"] == "EXTRACT(jsonPayload.code)"
    error_message = "The alert watches another metric."
  }
}

run "failed_images_leaves_damaged_files_out" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["failed-images"].conditions[0].condition_threshold[0].filter, "metric.labels.code = one_of(\"processing-attempts-exhausted\", \"processing-crashed\", \"processing-timeout\")")
    error_message = "The alert counts other failures."
  }
}

run "failed_images_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["failed-images"].conditions[0].condition_threshold[0].threshold_value == 5 && google_monitoring_alert_policy.threshold["failed-images"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["failed-images"].conditions[0].condition_threshold[0].duration == "0s"
    error_message = "The alert fires at another threshold."
  }
}

run "oldest_unacked_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["oldest-unacked"].conditions[0].condition_threshold[0].filter, "subscription/oldest_unacked_message_age")
    error_message = "The alert watches another metric."
  }
}

run "oldest_unacked_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["oldest-unacked"].conditions[0].condition_threshold[0].threshold_value == 600 && google_monitoring_alert_policy.threshold["oldest-unacked"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["oldest-unacked"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "The alert fires at another threshold."
  }
}

run "oldest_unacked_analyses_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["oldest-unacked-analyses"].conditions[0].condition_threshold[0].filter, "subscription/oldest_unacked_message_age")
    error_message = "The alert watches another metric."
  }
}

run "oldest_unacked_analyses_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["oldest-unacked-analyses"].conditions[0].condition_threshold[0].threshold_value == 600 && google_monitoring_alert_policy.threshold["oldest-unacked-analyses"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["oldest-unacked-analyses"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "The alert fires at another threshold."
  }
}

run "oldest_unacked_alerts_watch_their_own_subscription" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["oldest-unacked"].conditions[0].condition_threshold[0].filter, "\"image-uploads-push\"") && strcontains(google_monitoring_alert_policy.threshold["oldest-unacked-analyses"].conditions[0].condition_threshold[0].filter, "\"image-analyses-push\"")
    error_message = "An alert watches another subscription."
  }
}

run "migration_failed_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["migration-failed"].conditions[0].condition_threshold[0].filter, "job/completed_execution_count")
    error_message = "The alert watches another metric."
  }
}

run "migration_failed_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["migration-failed"].conditions[0].condition_threshold[0].threshold_value == 0 && google_monitoring_alert_policy.threshold["migration-failed"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["migration-failed"].conditions[0].condition_threshold[0].duration == "0s"
    error_message = "The alert fires at another threshold."
  }
}

run "api_memory_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["api-memory"].conditions[0].condition_threshold[0].filter, "memory/utilizations")
    error_message = "The alert watches another metric."
  }
}

run "api_memory_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["api-memory"].conditions[0].condition_threshold[0].threshold_value == 0.9 && google_monitoring_alert_policy.threshold["api-memory"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["api-memory"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "The alert fires at another threshold."
  }
}

run "processor_memory_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["processor-memory"].conditions[0].condition_threshold[0].filter, "memory/utilizations")
    error_message = "The alert watches another metric."
  }
}

run "processor_memory_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["processor-memory"].conditions[0].condition_threshold[0].threshold_value == 0.9 && google_monitoring_alert_policy.threshold["processor-memory"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["processor-memory"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "The alert fires at another threshold."
  }
}

run "api_instances_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["api-instances"].conditions[0].condition_threshold[0].filter, "container/instance_count")
    error_message = "The alert watches another metric."
  }
}

run "api_instances_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["api-instances"].conditions[0].condition_threshold[0].threshold_value == 3.5 && google_monitoring_alert_policy.threshold["api-instances"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["api-instances"].conditions[0].condition_threshold[0].duration == "600s"
    error_message = "The alert fires at another threshold."
  }
}

run "processor_instances_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["processor-instances"].conditions[0].condition_threshold[0].filter, "container/instance_count")
    error_message = "The alert watches another metric."
  }
}

run "processor_instances_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["processor-instances"].conditions[0].condition_threshold[0].threshold_value == 7.5 && google_monitoring_alert_policy.threshold["processor-instances"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["processor-instances"].conditions[0].condition_threshold[0].duration == "600s"
    error_message = "The alert fires at another threshold."
  }
}

run "database_cpu_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["database-cpu"].conditions[0].condition_threshold[0].filter, "database/cpu/utilization")
    error_message = "The alert watches another metric."
  }
}

run "database_cpu_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["database-cpu"].conditions[0].condition_threshold[0].threshold_value == 0.8 && google_monitoring_alert_policy.threshold["database-cpu"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["database-cpu"].conditions[0].condition_threshold[0].duration == "900s"
    error_message = "The alert fires at another threshold."
  }
}

run "database_disk_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["database-disk"].conditions[0].condition_threshold[0].filter, "database/disk/utilization")
    error_message = "The alert watches another metric."
  }
}

run "database_disk_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["database-disk"].conditions[0].condition_threshold[0].threshold_value == 0.85 && google_monitoring_alert_policy.threshold["database-disk"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["database-disk"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "The alert fires at another threshold."
  }
}

run "database_connections_watches_its_metric" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["database-connections"].conditions[0].condition_threshold[0].filter, "database/postgresql/num_backends")
    error_message = "The alert watches another metric."
  }
}

run "database_connections_fires_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["database-connections"].conditions[0].condition_threshold[0].threshold_value == 80 && google_monitoring_alert_policy.threshold["database-connections"].conditions[0].condition_threshold[0].comparison == "COMPARISON_GT" && google_monitoring_alert_policy.threshold["database-connections"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "The alert fires at another threshold."
  }
}

run "uptime_fires_when_two_regions_fail" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["uptime"].conditions[0].condition_threshold[0].threshold_value == 1 && google_monitoring_alert_policy.threshold["uptime"].conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer == "REDUCE_COUNT_FALSE"
    error_message = "The alert fires at another threshold."
  }
}

run "every_alert_tells_somebody" {
  command = plan

  assert {
    condition     = alltrue([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold) : length(policy.notification_channels) == 1])
    error_message = "An alert tells nobody."
  }
}

run "every_alert_says_what_to_do" {
  command = plan

  assert {
    condition     = alltrue([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold) : strcontains(policy.documentation[0].content, "**Meaning.**") && strcontains(policy.documentation[0].content, "**First look.**") && strcontains(policy.documentation[0].content, "**Fix.**")])
    error_message = "An alert has no runbook."
  }
}

run "every_alert_links_to_its_heading" {
  command = plan

  variables {
    runbook_url = "https://example.com/runbooks"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["uptime"].documentation[0].content, "https://example.com/runbooks#uptime")
    error_message = "An alert links to another page."
  }
}

run "each_objective_burns_at_two_speeds" {
  command = plan

  assert {
    condition     = length(google_monitoring_alert_policy.burn_rate) == 6
    error_message = "Not two alerts an objective."
  }
}

run "fast_burn_is_14_4" {
  command = plan

  assert {
    condition     = alltrue([for condition in google_monitoring_alert_policy.burn_rate["slo-availability-fast"].conditions : condition.condition_threshold[0].threshold_value == 14.4])
    error_message = "Another fast burn rate."
  }
}

run "slow_burn_is_6" {
  command = plan

  assert {
    condition     = alltrue([for condition in google_monitoring_alert_policy.burn_rate["slo-availability-slow"].conditions : condition.condition_threshold[0].threshold_value == 6])
    error_message = "Another slow burn rate."
  }
}

run "fast_burn_is_seen_over_an_hour_and_still" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.burn_rate["slo-availability-fast"].conditions[0].condition_threshold[0].filter, "\"3600s\"") && strcontains(google_monitoring_alert_policy.burn_rate["slo-availability-fast"].conditions[1].condition_threshold[0].filter, "\"300s\"")
    error_message = "Other windows."
  }
}

run "both_windows_must_burn" {
  command = plan

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.burn_rate : policy.combiner == "AND"])
    error_message = "One window is enough."
  }
}

run "availability_promises_99_5" {
  command = plan

  assert {
    condition     = google_monitoring_slo.this["availability"].goal == 0.995
    error_message = "Another promise."
  }
}

run "availability_counts_5xx_as_bad" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_slo.this["availability"].request_based_sli[0].good_total_ratio[0].bad_service_filter, "response_code_class=\"5xx\"")
    error_message = "Other answers count as bad."
  }
}

run "latency_is_cut_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_slo.this["latency"].request_based_sli[0].distribution_cut[0].range[0].max == 1000
    error_message = "Another latency."
  }
}

run "freshness_is_cut_at_its_threshold" {
  command = plan

  assert {
    condition     = google_monitoring_slo.this["freshness"].request_based_sli[0].distribution_cut[0].range[0].max == 60
    error_message = "Another freshness."
  }
}

run "freshness_comes_from_the_log" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_slo.this["freshness"].request_based_sli[0].distribution_cut[0].distribution_filter, "logging.googleapis.com/user/image_ready_seconds") && google_logging_metric.image_ready_seconds.value_extractor == "EXTRACT(jsonPayload.seconds_since_stored)"
    error_message = "Freshness is not measured."
  }
}

run "objectives_roll_over_28_days" {
  command = plan

  assert {
    condition     = alltrue([for objective in google_monitoring_slo.this : objective.rolling_period_days == 28])
    error_message = "Another period."
  }
}

run "uptime_asks_whether_it_is_ready" {
  command = plan

  assert {
    condition     = google_monitoring_uptime_check_config.api.http_check[0].path == "/health/ready" && google_monitoring_uptime_check_config.api.http_check[0].use_ssl && google_monitoring_uptime_check_config.api.http_check[0].validate_ssl
    error_message = "The check asks for something else."
  }
}

run "audit_events_are_kept_as_long_as_asked" {
  command = plan

  variables {
    audit_retention_days = 730
  }

  assert {
    condition     = google_logging_project_bucket_config.audit.retention_days == 730
    error_message = "Another retention."
  }
}

run "audit_events_go_to_their_bucket" {
  command = plan

  assert {
    condition     = endswith(google_logging_project_sink.audit.destination, "/locations/europe-west1/buckets/image-manager-audit") && startswith(google_logging_project_sink.audit.filter, "logName:\"cloudaudit.googleapis.com\" OR (") && strcontains(google_logging_project_sink.audit.filter, "\"audit_sealed\"")
    error_message = "The sink keeps something else."
  }
}

run "reads_of_secrets_are_audited" {
  command = plan

  assert {
    condition     = contains([for config in google_project_iam_audit_config.secrets.audit_log_config : config.log_type], "DATA_READ") && google_project_iam_audit_config.secrets.service == "secretmanager.googleapis.com"
    error_message = "Who reads a secret is not known."
  }
}

run "no_budget_without_a_billing_account" {
  command = plan

  assert {
    condition     = length(google_billing_budget.this) == 0
    error_message = "A budget without an account."
  }
}

run "budget_tells_at_its_thresholds" {
  command = plan

  variables {
    budget = { billing_account = "012345-6789AB-CDEF01" }
  }

  assert {
    condition     = [for rule in google_billing_budget.this[0].threshold_rules : "${rule.spend_basis} ${rule.threshold_percent}"] == ["CURRENT_SPEND 0.5", "CURRENT_SPEND 0.9", "CURRENT_SPEND 1", "FORECASTED_SPEND 1"]
    error_message = "Other thresholds."
  }
}

run "budget_is_the_projects" {
  command = plan

  variables {
    budget = { billing_account = "012345-6789AB-CDEF01" }
  }

  assert {
    condition     = google_billing_budget.this[0].budget_filter[0].projects == toset(["projects/123456789012"])
    error_message = "Another project's budget."
  }
}

run "dashboard_has_a_chart_for_everything_watched" {
  command = plan

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 13
    error_message = "A chart is missing."
  }
}

run "dashboard_holds_nothing_that_the_api_leaves_out" {
  command = plan

  assert {
    condition     = !can(regex(":(0|\"\"|false|null|\\[\\]|\\{\\})[,}\\]]", google_monitoring_dashboard.this.dashboard_json))
    error_message = "Every plan would put back a zero or an empty list."
  }
}

run "project_id_as_number_is_refused" {
  command = plan

  variables {
    project_number = "example-project"
  }

  expect_failures = [var.project_number]
}

run "goal_that_never_alerts_is_refused" {
  command = plan

  variables {
    objectives = { latency = 0.9 }
  }

  expect_failures = [var.objectives]
}

run "perfect_goal_is_refused" {
  command = plan

  variables {
    objectives = { availability = 1 }
  }

  expect_failures = [var.objectives]
}

run "no_threshold_is_refused" {
  command = plan

  variables {
    objectives = { latency_threshold_ms = 0 }
  }

  expect_failures = [var.objectives]
}

run "nobody_to_tell_is_refused" {
  command = plan

  variables {
    notification_emails = []
  }

  expect_failures = [var.notification_emails]
}

run "malformed_address_is_refused" {
  command = plan

  variables {
    notification_emails = ["operations"]
  }

  expect_failures = [var.notification_emails]
}

run "plain_http_runbook_is_refused" {
  command = plan

  variables {
    runbook_url = "http://example.com"
  }

  expect_failures = [var.runbook_url]
}

run "short_audit_retention_is_refused" {
  command = plan

  variables {
    audit_retention_days = 1
  }

  expect_failures = [var.audit_retention_days]
}

run "malformed_billing_account_is_refused" {
  command = plan

  variables {
    budget = { billing_account = "mine" }
  }

  expect_failures = [var.budget]
}

run "budget_of_nothing_is_refused" {
  command = plan

  variables {
    budget = { monthly_amount = 0 }
  }

  expect_failures = [var.budget]
}

run "url_as_host_is_refused" {
  command = plan

  variables {
    watched = { api = { name = "a", max_instances = 1 }, processor = { name = "p", max_instances = 1 }, job_name = "j", database = { instance_name = "d", max_connections = 100 }, subscriptions = { uploads = "u", analyses = "a", dead_letters = "d" }, api_host = "https://example.com" }
  }

  expect_failures = [var.watched]
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

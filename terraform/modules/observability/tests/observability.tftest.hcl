mock_provider "google" {
  mock_resource "google_monitoring_slo" {
    override_during = plan
    defaults        = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/slo" }
  }

  mock_resource "google_monitoring_uptime_check_config" {
    override_during = plan
    defaults        = { uptime_check_id = "image-manager-api-1234567890" }
  }
}

override_resource {
  target          = google_monitoring_slo.this["latency"]
  override_during = plan
  values          = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/latency" }
}

override_resource {
  target          = google_monitoring_slo.this["freshness"]
  override_during = plan
  values          = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/freshness" }
}

override_resource {
  target          = google_monitoring_slo.this["availability"]
  override_during = plan
  values          = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/availability" }
}

variables {
  project_id          = "example-project"
  project_number      = "123456789012"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]
  watched = {
    api           = "image-api"
    processor     = "image-processor"
    services      = { image-api = { max_instances = 4 }, image-processor = { max_instances = 8 } }
    job_name      = "image-migrate"
    schedules     = ["image-sweep", "image-audit-retention"]
    database      = { instance_name = "image-manager-k3f9", max_connections = 100 }
    subscriptions = ["image-uploads-push", "image-analyses-push"]
    api_host      = "images.example.com"
  }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "each_threshold_alert_fires_at_its_threshold" {
  command = plan

  assert {
    condition = { for name, policy in google_monitoring_alert_policy.threshold : name => join(" ", [
      regex("metric.type = \"([^\"]+)\"", policy.conditions[0].condition_threshold[0].filter)[0],
      policy.conditions[0].condition_threshold[0].comparison,
      policy.conditions[0].condition_threshold[0].threshold_value,
      policy.conditions[0].condition_threshold[0].duration,
      policy.conditions[0].condition_threshold[0].aggregations[0].per_series_aligner,
      policy.conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer,
      policy.conditions[0].condition_threshold[0].aggregations[0].alignment_period,
      ]) } == {
      server-errors        = "run.googleapis.com/request_count COMPARISON_GT 0.1 900s ALIGN_DELTA REDUCE_SUM 300s"
      dead-letters         = "logging.googleapis.com/user/dead_letters_open COMPARISON_GT 0 0s ALIGN_PERCENTILE_99 REDUCE_MAX 300s"
      failed-images        = "logging.googleapis.com/user/images_failed COMPARISON_GT 5 0s ALIGN_DELTA REDUCE_SUM 3600s"
      oldest-unacked       = "pubsub.googleapis.com/subscription/oldest_unacked_message_age COMPARISON_GT 600 300s ALIGN_MAX REDUCE_MAX 60s"
      feed-held-up         = "logging.googleapis.com/user/feed_held_up COMPARISON_GT 2 0s ALIGN_DELTA REDUCE_SUM 300s"
      operations-stuck     = "logging.googleapis.com/user/operations_stuck COMPARISON_GT 2 0s ALIGN_DELTA REDUCE_SUM 300s"
      webhooks-stuck       = "logging.googleapis.com/user/webhooks_stuck COMPARISON_GT 2 0s ALIGN_DELTA REDUCE_SUM 300s"
      schedule-failed      = "logging.googleapis.com/user/schedules_failed COMPARISON_GT 0 0s ALIGN_DELTA REDUCE_SUM 300s"
      migration-failed     = "run.googleapis.com/job/completed_execution_count COMPARISON_GT 0 0s ALIGN_DELTA REDUCE_SUM 300s"
      revision-failed      = "logging.googleapis.com/user/revisions_failed COMPARISON_GT 0 0s ALIGN_DELTA REDUCE_SUM 300s"
      out-of-memory        = "logging.googleapis.com/user/out_of_memory COMPARISON_GT 0 0s ALIGN_DELTA REDUCE_SUM 300s"
      memory               = "run.googleapis.com/container/memory/utilizations COMPARISON_GT 0.9 300s ALIGN_PERCENTILE_99 REDUCE_MAX 60s"
      database-cpu         = "cloudsql.googleapis.com/database/cpu/utilization COMPARISON_GT 0.8 900s ALIGN_MEAN REDUCE_MAX 300s"
      database-disk        = "cloudsql.googleapis.com/database/disk/utilization COMPARISON_GT 0.85 300s ALIGN_MEAN REDUCE_MAX 300s"
      database-connections = "cloudsql.googleapis.com/database/postgresql/num_backends COMPARISON_GT 80 300s ALIGN_MAX REDUCE_SUM 60s"
      uptime               = "monitoring.googleapis.com/uptime_check/check_passed COMPARISON_GT 1 0s ALIGN_NEXT_OLDER REDUCE_COUNT_FALSE 300s"
    }
    error_message = "An alert watches another metric, or fires at another threshold."
  }
}

run "each_threshold_alert_watches_its_part_of_the_metric" {
  command = plan

  assert {
    condition = jsonencode({ for name, policy in google_monitoring_alert_policy.threshold : name => sort([
      for term in split(" AND ", policy.conditions[0].condition_threshold[0].filter) : term if !strcontains(term, "metric.type")
      ])
      }) == jsonencode({
      server-errors        = ["metric.labels.response_code_class = \"5xx\"", "resource.labels.service_name = one_of(\"image-api\", \"image-processor\")", "resource.type = \"cloud_run_revision\""]
      dead-letters         = ["resource.type = \"cloud_run_revision\""]
      failed-images        = ["metric.labels.code = one_of(\"processing-attempts-exhausted\", \"processing-crashed\", \"processing-timeout\")", "resource.type = \"cloud_run_revision\""]
      oldest-unacked       = ["resource.labels.subscription_id = one_of(\"image-uploads-push\", \"image-analyses-push\")", "resource.type = \"pubsub_subscription\""]
      feed-held-up         = ["resource.type = \"cloud_run_revision\""]
      operations-stuck     = ["resource.type = \"cloud_run_revision\""]
      webhooks-stuck       = ["resource.type = \"cloud_run_revision\""]
      schedule-failed      = ["resource.type = \"cloud_scheduler_job\""]
      migration-failed     = ["metric.labels.result = \"failed\"", "resource.labels.job_name = \"image-migrate\"", "resource.type = \"cloud_run_job\""]
      revision-failed      = ["resource.type = \"cloud_run_revision\""]
      out-of-memory        = ["resource.type = \"cloud_run_revision\""]
      memory               = ["resource.labels.service_name = one_of(\"image-api\", \"image-processor\")", "resource.type = \"cloud_run_revision\""]
      database-cpu         = ["resource.labels.database_id = \"example-project:image-manager-k3f9\"", "resource.type = \"cloudsql_database\""]
      database-disk        = ["resource.labels.database_id = \"example-project:image-manager-k3f9\"", "resource.type = \"cloudsql_database\""]
      database-connections = ["resource.labels.database_id = \"example-project:image-manager-k3f9\"", "resource.type = \"cloudsql_database\""]
      uptime               = ["metric.labels.check_id = one_of(\"image-manager-api-1234567890\")", "resource.type = \"uptime_url\""]
    })
    error_message = "An alert watches another state, or something else."
  }
}

run "alerts_for_several_name_the_one_that_is_hit" {
  command = plan

  assert {
    condition = { for name, policy in google_monitoring_alert_policy.threshold : name => one(policy.conditions[0].condition_threshold[0].aggregations[0].group_by_fields) if policy.conditions[0].condition_threshold[0].aggregations[0].group_by_fields != null } == {
      server-errors   = "resource.labels.service_name"
      oldest-unacked  = "resource.labels.subscription_id"
      schedule-failed = "resource.labels.job_id"
      revision-failed = "resource.labels.service_name"
      out-of-memory   = "resource.labels.service_name"
      memory          = "resource.labels.service_name"
      uptime          = "resource.labels.host"
    }
    error_message = "A sum over all services hides the one that fails."
  }
}

run "server_errors_are_a_share_of_the_same_services_requests" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.threshold["server-errors"].conditions[0].condition_threshold[0].denominator_filter == replace(google_monitoring_alert_policy.threshold["server-errors"].conditions[0].condition_threshold[0].filter, " AND metric.labels.response_code_class = \"5xx\"", "") && one(google_monitoring_alert_policy.threshold["server-errors"].conditions[0].condition_threshold[0].denominator_aggregations[0].group_by_fields) == "resource.labels.service_name"
    error_message = "The share is one of something else."
  }
}

run "absent_sweep_is_noticed_after_20_minutes" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.query["sweep-absent"].conditions[0].condition_prometheus_query_language[0].query == "(sum(increase(logging_googleapis_com:user_${google_logging_metric.counted["sweeps_done"].name}{monitored_resource=\"cloud_run_revision\"}[10m])) or vector(0)) < 0.5" && google_monitoring_alert_policy.query["sweep-absent"].conditions[0].condition_prometheus_query_language[0].duration == "600s"
    error_message = "A sweep that never ran, or no longer does, is not noticed."
  }
}

run "each_service_is_held_to_its_own_most_instances" {
  command = plan

  assert {
    condition = google_monitoring_alert_policy.query["most-instances"].conditions[0].condition_prometheus_query_language[0].query == join(" or ", [
      "sum by (service_name) (max_over_time(run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\",service_name=\"image-api\",state=\"active\"}[1m])) >= 4",
      "sum by (service_name) (max_over_time(run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\",service_name=\"image-processor\",state=\"active\"}[1m])) >= 8",
    ]) && google_monitoring_alert_policy.query["most-instances"].conditions[0].condition_prometheus_query_language[0].duration == "600s"
    error_message = "A service is held to another number of instances."
  }
}

run "queries_are_taken_before_their_metric_is_known" {
  command = plan

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.query : policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation])
    error_message = "A first apply is refused."
  }
}

run "failed_images_are_counted_by_their_code" {
  command = plan

  assert {
    condition     = google_logging_metric.counted["images_failed"].label_extractors["code"] == "EXTRACT(jsonPayload.code)"
    error_message = "Damaged files would count."
  }
}

run "essential_alerts_are_14_conditions" {
  command = plan

  variables {
    alert_set = "essential"
  }

  assert {
    condition     = sum([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.query) : length(policy.conditions)]) == 14
    error_message = "Each condition is paid for every month."
  }
}

run "essential_alerts_leave_nothing_unnoticed" {
  command = plan

  variables {
    alert_set = "essential"
  }

  assert {
    condition = toset(keys(merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.query))) == toset([
      "slo-availability-fast", "slo-freshness-fast", "server-errors", "dead-letters", "failed-images", "oldest-unacked", "sweep-absent",
      "feed-held-up", "migration-failed", "revision-failed", "out-of-memory", "most-instances", "database-disk", "database-connections",
    ])
    error_message = "Other alerts."
  }
}

run "essential_alerts_keep_nothing_awake" {
  command = plan

  variables {
    alert_set = "essential"
  }

  assert {
    condition     = length(google_monitoring_uptime_check_config.ready) == 0
    error_message = "A check every minute keeps an instance running."
  }
}

run "every_alert_tells_somebody" {
  command = plan

  assert {
    condition     = alltrue([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.query) : length(policy.notification_channels) == 1])
    error_message = "An alert tells nobody."
  }
}

run "every_alert_says_what_to_do" {
  command = plan

  assert {
    condition     = alltrue([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.query) : strcontains(policy.documentation[0].content, "**Meaning.**") && strcontains(policy.documentation[0].content, "**First look.**") && strcontains(policy.documentation[0].content, "**Fix.**")])
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

run "each_alert_burns_its_own_objective" {
  command = plan

  assert {
    condition     = jsonencode({ for name, alert in local.alerts : name => alert.slo if can(alert.slo) }) == jsonencode({ slo-availability = "availability", slo-freshness = "freshness", slo-latency = "latency" })
    error_message = "An alert burns another budget."
  }
}

run "each_policy_asks_for_its_own_objective" {
  command = plan

  assert {
    condition = alltrue(flatten([for name, policy in google_monitoring_alert_policy.burn_rate : [
      for condition in policy.conditions : startswith(condition.condition_threshold[0].filter, "select_slo_burn_rate(\"projects/123456789012/services/image-manager/serviceLevelObjectives/${split("-", name)[1]}\",")
    ]]))
    error_message = "A policy burns another budget."
  }
}

run "every_alert_is_on" {
  command = plan

  assert {
    condition     = alltrue([for each in concat(values(google_monitoring_alert_policy.burn_rate), values(google_monitoring_alert_policy.threshold), values(google_monitoring_alert_policy.query), values(google_monitoring_notification_channel.email)) : each.enabled != false])
    error_message = "An alert, or whom it tells, is switched off."
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
    condition     = google_monitoring_slo.this["latency"].request_based_sli[0].distribution_cut[0].range[0].max == 1 && contains(google_logging_metric.answer_seconds.bucket_options[0].explicit_buckets[0].bounds, 1)
    error_message = "Another latency."
  }
}

run "latency_does_not_count_who_waits_for_the_feed" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_slo.this["latency"].request_based_sli[0].distribution_cut[0].distribution_filter, "logging.googleapis.com/user/answer_seconds") && strcontains(google_logging_metric.answer_seconds.filter, "NOT httpRequest.requestUrl=~")
    error_message = "Every client that waits for news looks like a slow API."
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
    condition     = google_monitoring_uptime_check_config.ready["api"].http_check[0].path == "/health/ready" && google_monitoring_uptime_check_config.ready["api"].http_check[0].use_ssl && google_monitoring_uptime_check_config.ready["api"].http_check[0].validate_ssl
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
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 12
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
    watched = { api = "a", processor = "p", services = { a = { max_instances = 1 }, p = { max_instances = 1 } }, job_name = "j", schedules = ["s"], database = { instance_name = "d", max_connections = 100 }, subscriptions = ["u"], api_host = "https://example.com" }
  }

  expect_failures = [var.watched]
}

run "api_that_is_no_service_is_refused" {
  command = plan

  variables {
    watched = { api = "other", processor = "p", services = { a = { max_instances = 1 }, p = { max_instances = 1 } }, job_name = "j", schedules = ["s"], database = { instance_name = "d", max_connections = 100 }, subscriptions = ["u"], api_host = "images.example.com" }
  }

  expect_failures = [var.watched]
}

run "other_set_of_alerts_is_refused" {
  command = plan

  variables {
    alert_set = "some"
  }

  expect_failures = [var.alert_set]
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

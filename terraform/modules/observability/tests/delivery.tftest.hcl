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
  target          = google_monitoring_slo.this["delivery"]
  override_during = plan
  values          = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/delivery" }
}

override_resource {
  target          = google_monitoring_uptime_check_config.ready["delivery"]
  override_during = plan
  values          = { uptime_check_id = "image-manager-delivery-1234567890" }
}

variables {
  project_id          = "example-project"
  project_number      = "123456789012"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]
  watched = {
    api           = "image-api"
    processor     = "image-processor"
    services      = { image-api = { max_instances = 4 }, image-processor = { max_instances = 8 }, image-delivery = { max_instances = 6 } }
    job_name      = "image-migrate"
    schedules     = ["image-sweep", "image-audit-retention"]
    database      = { instance_name = "image-manager-k3f9", max_connections = 100 }
    subscriptions = ["image-uploads-push", "image-analyses-push"]
    api_host      = "images.example.com"
    delivery      = { service = "image-delivery", host = "pictures.example.com" }

    security_policies = ["image-manager-edge", "image-manager-links", "image-manager-delivery"]
    url_maps          = ["image-manager-https", "image-manager-redirect"]
  }
}

run "requests_of_delivery_are_not_stored" {
  command = plan

  assert {
    condition = [for exclusion in google_logging_project_exclusion.delivery_requests : "${exclusion.disabled} ${exclusion.filter}"] == [
      "false resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"image-delivery\" AND logName=\"projects/example-project/logs/run.googleapis.com%2Frequests\"",
    ]
    error_message = "Whoever reads the log can see the pictures."
  }
}

run "requests_for_share_links_are_not_stored_by_service_or_load_balancer" {
  command = plan

  assert {
    condition     = google_logging_project_exclusion.link_requests.disabled == false && startswith(google_logging_project_exclusion.link_requests.filter, "((resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"image-api\" AND logName=\"projects/example-project/logs/run.googleapis.com%2Frequests\") OR (resource.type=\"http_load_balancer\" AND resource.labels.url_map_name=(\"image-manager-https\" OR \"image-manager-redirect\"))) AND (httpRequest.requestUrl=~\"")
    error_message = "Whoever reads the log can open the links."
  }
}

run "essential_alerts_are_14_conditions_with_delivery_too" {
  command = plan

  variables {
    alert_set = "essential"
  }

  assert {
    condition     = output.condition_count == 14 && length(google_monitoring_uptime_check_config.ready) == 0
    error_message = "Each condition is paid for every month."
  }
}

run "each_alert_of_delivery_fires_at_its_threshold" {
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
      ]) if startswith(name, "delivery-") } == {
      delivery-latency = "run.googleapis.com/request_latencies COMPARISON_GT 2000 900s ALIGN_PERCENTILE_95 REDUCE_MAX 300s"
      delivery-makes   = "logging.googleapis.com/user/renditions_made COMPARISON_GT 1500 900s ALIGN_DELTA REDUCE_SUM 300s"
    }
    error_message = "An alert watches another metric, or fires at another threshold."
  }
}

run "latency_of_delivery_is_its_own" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["delivery-latency"].conditions[0].condition_threshold[0].filter, "resource.labels.service_name = \"image-delivery\" AND")
    error_message = "Another service's latency."
  }
}

run "sums_of_delivery_are_watched" {
  command = plan

  assert {
    condition = { for name, policy in google_monitoring_alert_policy.query : name => policy.conditions[0].condition_prometheus_query_language[0].query if startswith(name, "delivery-") } == {
      delivery-bytes = "sum(increase(logging_googleapis_com:user_${google_logging_metric.measured["delivered_bytes"].name}_sum{monitored_resource=\"cloud_run_revision\"}[1h])) > 10e9"
      delivery-queue = "sum(increase(logging_googleapis_com:user_${google_logging_metric.measured["pictures_refused"].name}_sum{monitored_resource=\"cloud_run_revision\"}[5m])) > 50"
    }
    error_message = "A sum of another metric, or another threshold."
  }
}

run "sums_are_of_the_field_that_they_name" {
  command = plan

  assert {
    condition = { for name, metric in google_logging_metric.measured : name => "${metric.value_extractor} ${metric.metric_descriptor[0].unit}" } == {
      delivered_bytes   = "EXTRACT(jsonPayload.size_bytes) By"
      dead_letters_open = "EXTRACT(jsonPayload.count) 1"
      pictures_refused  = "EXTRACT(jsonPayload.requests) 1"
    }
    error_message = "Something else is added up."
  }
}

run "bytes_are_watched_at_the_size_of_the_site" {
  command = plan

  variables {
    delivered_gigabytes_per_hour = 250
  }

  assert {
    condition     = endswith(google_monitoring_alert_policy.query["delivery-bytes"].conditions[0].condition_prometheus_query_language[0].query, " > 250e9")
    error_message = "A busy site is alerted about every hour."
  }
}

run "delivery_has_an_objective_of_its_own" {
  command = plan

  assert {
    condition     = google_monitoring_slo.this["delivery"].goal == 0.995 && google_monitoring_slo.this["delivery"].request_based_sli[0].good_total_ratio[0].bad_service_filter == "metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"image-delivery\" AND metric.labels.response_code_class=\"5xx\"" && length(google_monitoring_slo.this["delivery"].request_based_sli[0].distribution_cut) == 0
    error_message = "Another promise, or of another service."
  }
}

run "objective_of_delivery_burns_at_two_speeds" {
  command = plan

  assert {
    condition     = toset([for name, policy in google_monitoring_alert_policy.burn_rate : name if strcontains(policy.conditions[0].condition_threshold[0].filter, "serviceLevelObjectives/delivery\"")]) == toset(["slo-delivery-fast", "slo-delivery-slow"])
    error_message = "Its budget can be used up unnoticed."
  }
}

run "both_services_are_asked_from_outside" {
  command = plan

  assert {
    condition = { for name, check in google_monitoring_uptime_check_config.ready : name => "${check.monitored_resource[0].labels.host}${check.http_check[0].path}" } == {
      api      = "images.example.com/health/ready"
      delivery = "pictures.example.com/health/ready"
    }
    error_message = "A service is not asked, or for something else."
  }
}

run "either_check_alerts" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["uptime"].conditions[0].condition_threshold[0].filter, "one_of(\"image-manager-api-1234567890\", \"image-manager-delivery-1234567890\")")
    error_message = "Nobody hears of a check that fails."
  }
}

run "dashboard_shows_delivery_and_the_load_balancer" {
  command = plan

  assert {
    condition     = [for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles : split(":", tile.widget.title)[0] if !startswith(tile.widget.title, "Delivery")] == ["API", "API", "API", "API", "Images", "Work", "Dead letters", "Processor", "Processor", "Database", "Database", "Database", "Load balancer"] && length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 20
    error_message = "A chart is missing."
  }
}

run "charts_have_a_filter_or_a_query" {
  command = plan

  assert {
    condition     = alltrue([for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles : length(tile.widget.xyChart.dataSets[0].timeSeriesQuery) == 1])
    error_message = "A chart shows nothing."
  }
}

run "dashboard_with_delivery_holds_nothing_that_the_api_leaves_out" {
  command = plan

  assert {
    condition     = !can(regex(":(0|\"\"|false|null|\\[\\]|\\{\\})[,}\\]]", google_monitoring_dashboard.this.dashboard_json))
    error_message = "Every plan would put back a zero or an empty list."
  }
}

run "delivery_that_is_no_service_is_refused" {
  command = plan

  variables {
    watched = { api = "a", processor = "p", services = { a = { max_instances = 1 }, p = { max_instances = 1 } }, job_name = "j", schedules = ["s"], database = { instance_name = "d", max_connections = 100 }, subscriptions = ["u"], api_host = "images.example.com", delivery = { service = "d", host = "pictures.example.com" } }
  }

  expect_failures = [var.watched]
}

run "no_bytes_an_hour_are_refused" {
  command = plan

  variables {
    delivered_gigabytes_per_hour = 0
  }

  expect_failures = [var.delivered_gigabytes_per_hour]
}

resource "google_monitoring_custom_service" "this" {
  project      = var.project_id
  service_id   = "image-manager"
  display_name = "image-manager"
}

# From the log line of an image that is ready; the line says how long it took since the image was stored.
resource "google_logging_metric" "image_ready_seconds" {
  project         = var.project_id
  name            = "image_ready_seconds"
  description     = "Seconds from an image being stored to its being ready."
  filter          = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.processor.name}\" AND jsonPayload.event=\"image_ready\" AND jsonPayload.seconds_since_stored>=0"
  value_extractor = "EXTRACT(jsonPayload.seconds_since_stored)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }

  bucket_options {
    explicit_buckets {
      bounds = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600]
    }
  }
}

resource "google_logging_metric" "images_failed" {
  project     = var.project_id
  name        = "images_failed"
  description = "Images that failed for good, by the code of the failure."
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.processor.name}\" AND jsonPayload.event=\"image_failed\""
  label_extractors = {
    code = "EXTRACT(jsonPayload.code)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key        = "code"
      value_type = "STRING"
    }
  }
}

locals {
  api_requests = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.api.name}\""

  objectives = {
    availability = { goal = var.objectives.availability, display_name = "Requests that do not fail" }
    latency      = { goal = var.objectives.latency, display_name = "Requests answered within ${var.objectives.latency_threshold_ms} ms" }
    freshness    = { goal = var.objectives.freshness, display_name = "Images ready within ${var.objectives.freshness_threshold_seconds} s" }
  }

  cuts = {
    latency = {
      filter = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.api_requests}"
      max    = var.objectives.latency_threshold_ms
    }
    freshness = {
      filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.image_ready_seconds.name}\" AND resource.type=\"cloud_run_revision\""
      max    = var.objectives.freshness_threshold_seconds
    }
  }
}

resource "google_monitoring_slo" "this" {
  for_each = local.objectives

  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = each.key
  display_name        = each.value.display_name
  goal                = each.value.goal
  rolling_period_days = 28

  request_based_sli {
    dynamic "good_total_ratio" {
      for_each = each.key == "availability" ? [local.api_requests] : []

      content {
        total_service_filter = "metric.type=\"run.googleapis.com/request_count\" AND ${good_total_ratio.value}"
        bad_service_filter   = "metric.type=\"run.googleapis.com/request_count\" AND ${good_total_ratio.value} AND metric.labels.response_code_class=\"5xx\""
      }
    }

    dynamic "distribution_cut" {
      for_each = each.key == "availability" ? [] : [local.cuts[each.key]]

      content {
        distribution_filter = distribution_cut.value.filter

        range {
          max = distribution_cut.value.max
        }
      }
    }
  }
}

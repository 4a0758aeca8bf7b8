locals {
  processor_log = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.processor}\""
  services_log  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for name in keys(var.watched.services) : "\"${name}\""])})"

  # Metrics and the log lines that they count. The first three are written by the services, the others by the platform.
  counted = {
    images_failed = {
      description = "Images that failed permanently, by failure code."
      filter      = "${local.services_log} AND jsonPayload.event=\"image_failed\""
      labels      = { code = "jsonPayload.code" }
    }
    sweeps_done = {
      description = "Completed sweeps."
      filter      = "${local.services_log} AND jsonPayload.event=\"sweep_done\""
      labels      = {}
    }
    feed_held_up = {
      description = "Ticks that found an event waiting for a transaction for over a minute."
      filter      = "${local.services_log} AND jsonPayload.event=\"feed_held_up\""
      labels      = {}
    }
    operations_stuck = {
      description = "Sweeps that found operations without a turn for a quarter of an hour."
      filter      = "${local.services_log} AND jsonPayload.event=\"operations_stuck\""
      labels      = {}
    }
    webhooks_stuck = {
      description = "Sweeps that found webhooks to which nothing was sent for a quarter of an hour."
      filter      = "${local.services_log} AND jsonPayload.event=\"webhooks_stuck\""
      labels      = {}
    }
    renditions_made = {
      description = "Pictures that image-delivery made on demand."
      filter      = "${local.services_log} AND jsonPayload.event=\"rendition_made\""
      labels      = {}
    }
    out_of_memory = {
      description = "Instances that Cloud Run stopped because they exceeded their memory."
      filter      = "${local.services_log} AND logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Fvarlog%2Fsystem\" AND textPayload:\"Memory limit of\" AND textPayload:\"exceeded\""
      labels      = {}
    }
    revisions_failed = {
      description = "Revisions that did not become ready."
      filter      = "${local.services_log} AND severity=ERROR AND protoPayload.response.kind=\"Revision\" AND protoPayload.status.message:\"Ready condition status changed to False\""
      labels      = {}
    }
    schedules_failed = {
      description = "Attempts of Cloud Scheduler that failed."
      filter      = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=(${join(" OR ", [for name in var.watched.schedules : "\"${name}\""])}) AND severity>=ERROR AND jsonPayload.\"@type\"=\"type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished\""
      labels      = {}
    }
  }
}

# From the log line that the processor writes for a ready image, which contains the time since it was stored.
resource "google_logging_metric" "image_ready_seconds" {
  project         = var.project_id
  name            = "image_ready_seconds"
  description     = "Seconds from an image being stored to being ready."
  filter          = "${local.processor_log} AND jsonPayload.event=\"image_ready\" AND jsonPayload.seconds_since_stored>=0"
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

# From Cloud Run's own log of requests, because its metric of latencies has no paths: whoever waits for news in the feed
# gets an answer when there is some, which says nothing about how fast the API is.
resource "google_logging_metric" "answer_seconds" {
  project         = var.project_id
  name            = "answer_seconds"
  description     = "Seconds until the API has answered, without requests that wait for the feed."
  filter          = "${local.api_requests} AND ${local.requests_log} AND httpRequest.latency:\"s\" AND NOT httpRequest.requestUrl=~\"/api/v1/(events([?]|$)|changes[?](.*&)?wait=)\""
  value_extractor = "EXTRACT(httpRequest.latency)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }

  # One bound is the objective's threshold, so that nothing has to be estimated within a bucket.
  bucket_options {
    explicit_buckets {
      bounds = [for share in [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30] : share * var.objectives.latency_threshold_ms / 1000]
    }
  }
}

# Sums that image-delivery writes about once a minute for each instance, and what image-tasks counts in every sweep.
resource "google_logging_metric" "measured" {
  for_each = {
    delivered_bytes   = { description = "Bytes of pictures that image-delivery sent.", event = "delivery_traffic", field = "size_bytes", unit = "By" }
    dead_letters_open = { description = "Dead letters that nobody has dealt with, at each report.", event = "dead_letters_open", field = "count", unit = "1" }
    pictures_refused  = { description = "Requests that image-delivery refused because too many wait.", event = "delivery_refusals", field = "requests", unit = "1" }
  }

  project         = var.project_id
  name            = each.key
  description     = each.value.description
  filter          = "${local.services_log} AND jsonPayload.event=\"${each.value.event}\""
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }
}

resource "google_logging_metric" "counted" {
  for_each = local.counted

  project          = var.project_id
  name             = each.key
  description      = each.value.description
  filter           = each.value.filter
  label_extractors = length(each.value.labels) == 0 ? null : { for label, field in each.value.labels : label => "EXTRACT(${field})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
}

moved {
  from = google_logging_metric.images_failed
  to   = google_logging_metric.counted["images_failed"]
}

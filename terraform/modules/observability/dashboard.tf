locals {
  in_api       = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.watched.api}\""
  in_processor = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.watched.processor}\""
  in_database  = "resource.type=\"cloudsql_database\" resource.labels.database_id=\"${var.project_id}:${var.watched.database.instance_name}\""
  in_work      = "resource.type=\"pubsub_subscription\" resource.labels.subscription_id=one_of(${join(",", [for name in var.watched.subscriptions : "\"${name}\""])})"

  in_delivery = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${try(var.watched.delivery.service, "")}\""
  in_policies = "resource.type=\"network_security_policy\" resource.labels.policy_name=one_of(${join(",", [for name in var.watched.security_policies : "\"${name}\""])})"

  # Each with a filter or, for a sum of a distribution, with PromQL.
  charts = concat(
    local.system_charts,
    [for chart in local.delivery_charts : chart if var.watched.delivery != null],
    [for chart in local.edge_charts : chart if length(var.watched.security_policies) > 0],
  )

  delivery_charts = [
    { title = "Delivery: requests a second by class", filter = "metric.type=\"run.googleapis.com/request_count\" ${local.in_delivery}", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", group_by = ["metric.label.response_code_class"] },
    { title = "Delivery: latency, 95th percentile (ms)", filter = "metric.type=\"run.googleapis.com/request_latencies\" ${local.in_delivery}", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX", group_by = [] },
    { title = "Delivery: instances", filter = "metric.type=\"run.googleapis.com/container/instance_count\" ${local.in_delivery}", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", group_by = ["metric.label.state"] },
    { title = "Delivery: memory, 99th percentile", filter = "metric.type=\"run.googleapis.com/container/memory/utilizations\" ${local.in_delivery}", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", group_by = [] },
    { title = "Delivery: pictures made in a minute", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.counted["renditions_made"].name}\" ${local.in_delivery}", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", group_by = [] },
    { title = "Delivery: refused in 5 minutes because too many wait", query = "sum(increase(logging_googleapis_com:user_${google_logging_metric.measured["pictures_refused"].name}_sum{monitored_resource=\"cloud_run_revision\"}[5m]))" },
    { title = "Delivery: bytes a second", query = "sum(rate(logging_googleapis_com:user_${google_logging_metric.measured["delivered_bytes"].name}_sum{monitored_resource=\"cloud_run_revision\"}[5m]))" },
  ]

  edge_charts = [
    { title = "Load balancer: refused requests a second by policy", filter = "metric.type=\"networksecurity.googleapis.com/https/request_count\" metric.labels.blocked=\"true\" ${local.in_policies}", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", group_by = ["resource.label.policy_name"] },
  ]

  system_charts = [
    { title = "API: requests a second by class", filter = "metric.type=\"run.googleapis.com/request_count\" ${local.in_api}", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", group_by = ["metric.label.response_code_class"] },
    { title = "API: latency, 95th percentile (ms)", filter = "metric.type=\"run.googleapis.com/request_latencies\" ${local.in_api}", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX", group_by = [] },
    { title = "API: instances", filter = "metric.type=\"run.googleapis.com/container/instance_count\" ${local.in_api}", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", group_by = ["metric.label.state"] },
    { title = "API: memory, 99th percentile", filter = "metric.type=\"run.googleapis.com/container/memory/utilizations\" ${local.in_api}", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", group_by = [] },
    { title = "Images: seconds until ready, 95th percentile", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.image_ready_seconds.name}\" ${local.in_processor}", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX", group_by = [] },
    { title = "Work: age of the oldest message (s)", filter = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" ${local.in_work}", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", group_by = ["resource.label.subscription_id"] },
    { title = "Dead letters", query = "sum(increase(logging_googleapis_com:user_${google_logging_metric.measured["dead_letters_open"].name}_sum{monitored_resource=\"cloud_run_revision\"}[5m])) / sum(increase(logging_googleapis_com:user_${google_logging_metric.measured["dead_letters_open"].name}_count{monitored_resource=\"cloud_run_revision\"}[5m]))" },
    { title = "Processor: instances", filter = "metric.type=\"run.googleapis.com/container/instance_count\" ${local.in_processor}", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", group_by = ["metric.label.state"] },
    { title = "Processor: memory, 99th percentile", filter = "metric.type=\"run.googleapis.com/container/memory/utilizations\" ${local.in_processor}", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", group_by = [] },
    { title = "Database: CPU", filter = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" ${local.in_database}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", group_by = [] },
    { title = "Database: connections", filter = "metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" ${local.in_database}", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", group_by = [] },
    { title = "Database: disk", filter = "metric.type=\"cloudsql.googleapis.com/database/disk/utilization\" ${local.in_database}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", group_by = [] },
  ]

  # The API omits zeros and empty lists from a dashboard, so each one written here would show as a change in every plan.
  positions = [
    for index, chart in local.charts : { for axis, place in { xPos = (index % 3) * 4, yPos = floor(index / 3) * 4 } : axis => place if place != 0 }
  ]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = "image-manager"
    mosaicLayout = {
      columns = 12
      tiles = [
        for index, chart in local.charts : merge(local.positions[index], {
          width  = 4
          height = 4
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = { for kind, source in {
                  prometheusQuery = try(chart.query, null)
                  timeSeriesFilter = can(chart.query) ? null : {
                    filter = chart.filter
                    aggregation = merge(
                      {
                        alignmentPeriod    = "60s"
                        perSeriesAligner   = chart.aligner
                        crossSeriesReducer = chart.reducer
                      },
                      length(chart.group_by) == 0 ? {} : { groupByFields = chart.group_by },
                    )
                  }
                } : kind => source if source != null }
              }]
            }
          }
        })
      ]
    }
  })
}

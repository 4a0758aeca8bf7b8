# Requests that nobody may read in the log, because whoever reads their addresses can see pictures.
locals {
  requests_log = "logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Frequests\""

  # Logs that may contain addresses of share links: the API's, and the load balancer's if there is one.
  logs_with_links = concat(
    ["resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.api}\" AND ${local.requests_log}"],
    length(var.watched.url_maps) == 0 ? [] : ["resource.type=\"http_load_balancer\" AND resource.labels.url_map_name=(${join(" OR ", [for name in var.watched.url_maps : "\"${name}\""])})"],
  )

  # The path of a share link in any spelling that a server might understand, or its token (32 hexadecimal digits)
  # anywhere.
  link_address = "(?i)^https?://[^/?#]+([/.]|%2[ef])+(s|%[57]3)(/|%2f)|(^|[^0-9a-f]|%[0-9a-f]{2})[0-9a-f]{32}([^0-9a-f]|$)"
}

# By service, because a filter on paths would miss other spellings.
resource "google_logging_project_exclusion" "delivery_requests" {
  count = var.watched.delivery == null ? 0 : 1

  project     = var.project_id
  name        = "image-delivery-requests"
  description = "Requests of image-delivery: their addresses are secrets."
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.delivery.service}\" AND ${local.requests_log}"
  disabled    = false
}

# What the page of a link loads names the page as its referrer.
resource "google_logging_project_exclusion" "link_requests" {
  project     = var.project_id
  name        = "image-link-requests"
  description = "Requests for share links and from their pages: their addresses are secrets."
  filter      = "(${join(" OR ", [for log in local.logs_with_links : "(${log})"])}) AND (httpRequest.requestUrl=~\"${local.link_address}\" OR httpRequest.referer=~\"${local.link_address}\")"
  disabled    = false
}

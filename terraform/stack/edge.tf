resource "google_project_service" "edge" {
  count = var.edge.enabled ? 1 : 0

  project = var.project_id
  service = "certificatemanager.googleapis.com"

  # As in apis.tf.
  disable_on_destroy = false
}

module "edge" {
  source = "../modules/edge"
  count  = var.edge.enabled ? 1 : 0

  project_id   = var.project_id
  region       = var.region
  service_name = module.image_api.name
  domains      = var.edge.domains
  cached_paths = var.edge.cached_paths

  throttle = {
    requests_per_minute = var.edge.requests_per_minute
  }

  delivery = var.edge.delivery == null ? null : {
    service_name        = module.image_delivery[0].name
    domain              = var.edge.delivery.domain
    cdn                 = var.edge.delivery.cdn
    requests_per_minute = var.edge.delivery.requests_per_minute
  }

  depends_on = [google_project_service.this, google_project_service.edge]
}

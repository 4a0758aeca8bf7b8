locals {
  # Services that share the API's subnet and may not reach the store.
  denied_tags = { for name in ["processor", "tasks", "delivery", "migrate"] : name => var.rate_limit_store.enabled ? ["image-${name}"] : [] }
}

resource "google_project_service" "rate_limit_store" {
  for_each = toset(var.rate_limit_store.enabled ? ["memorystore.googleapis.com", "networkconnectivity.googleapis.com"] : [])

  project = var.project_id
  service = each.value

  # As in apis.tf.
  disable_on_destroy = false
}

module "rate_limit_store" {
  source = "../modules/rate_limit_store"
  count  = var.rate_limit_store.enabled ? 1 : 0

  project_id  = var.project_id
  region      = var.region
  labels      = local.labels
  node_type   = var.rate_limit_store.node_type
  denied_tags = flatten(values(local.denied_tags))

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
    cidr_range = var.network.cidr_range
  }

  depends_on = [google_project_service.rate_limit_store]
}

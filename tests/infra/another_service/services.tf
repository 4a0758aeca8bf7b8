
module "image_another" {
  source = "../modules/run_service"
  count  = var.images.another == null ? 0 : 1

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-another"
  purpose             = "Does something else."
  deletion_protection = local.protected

  container = {
    image       = var.images.another
    command     = ["python", "-m", "image_another"]
    environment = merge(local.shared_environment, { DATABASE_USER = module.database.user_names["another"] })
  }

  scaling = {
    max_instances           = var.another.max_instances
    concurrency             = 10
    request_timeout_seconds = 300
  }

  access = {
    ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    public  = false
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
  }
}

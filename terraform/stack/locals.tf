data "google_project" "this" {
  project_id = var.project_id
}

# Reading it also creates it: a project has no such account before. Without dependencies (its API has been
# enabled since the bootstrap), so that the account is known in every plan.
data "google_storage_project_service_account" "this" {
  project = var.project_id
}

locals {
  protected = var.environment != "dev"

  labels = {
    system      = "image-manager"
    environment = var.environment
    managed-by  = "terraform"
  }

  # Audience of tokens for the processor, which is known before its URL.
  processor_audience = "https://image-processor.${var.project_id}.internal"

  # Likewise for image-tasks.
  tasks_audience = "https://image-tasks.${var.project_id}.internal"

  # Where browsers load pictures; null as long as there is no image-delivery. Its service's own environment must not
  # contain it.
  delivery_url = var.images.delivery == null ? null : coalesce(var.delivery.public_base_url, module.image_delivery[0].uri)

  # Service that sweeps: the processor of the previous release until image-tasks exists.
  sweeper = var.images.tasks == null ? { uri = module.image_processor.uri, audience = local.processor_audience } : { uri = module.image_tasks[0].uri, audience = local.tasks_audience }

  # Existing bucket with the models.
  model_bucket = try(regex("^gs://([^/]+)", coalesce(var.processor.model_path, var.processor.embedding_model_path))[0], null)

  # Options of the capability table, whose rows are granted only if the option is on.
  asked_for = {
    "a model"                       = local.model_bucket != null
    "Cloud Vision"                  = var.vision.enabled
    "import buckets"                = length(var.storage.import_buckets) > 0
    "housekeeping in the processor" = var.images.tasks == null
  }

  # Every service, by its name. Whatever is the same for each derives from these three: grants, database users,
  # connections, alerts. A service added later is created by the first apply with its image: `optional(string)` in
  # var.images, `count = var.images.x == null ? 0 : 1` at its module, and here `one(module.image_x[*])`.
  services = { for name, service in {
    image-api       = module.image_api
    image-processor = module.image_processor
    image-tasks     = one(module.image_tasks[*])
    image-delivery  = one(module.image_delivery[*])
  } : name => service if service != null }

  # Separate from the services, because the database users come first. For a module with `count`, use
  # `var.images.x == null ? null : module.image_x[0].service_account_email`: `[*]` would depend on the whole module.
  service_accounts = {
    image-api       = module.image_api.service_account_email
    image-processor = module.image_processor.service_account_email
    image-tasks     = var.images.tasks == null ? null : module.image_tasks[0].service_account_email
    image-delivery  = var.images.delivery == null ? null : module.image_delivery[0].service_account_email
  }

  # Configuration of each service, whether it exists or not.
  service_settings = {
    image-api       = var.api
    image-processor = var.processor
    image-tasks     = var.tasks
    image-delivery  = var.delivery
  }

  absent_services = toset([for name, email in local.service_accounts : name if email == null])

  # Time limit of one request. Other time limits derive from it.
  request_seconds = { api = 300, processor = 300, tasks = 300, delivery = 300 }

  # Deliveries after which a message becomes a dead letter; the processor logs the last one.
  max_delivery_attempts = 10

  # The most that Pub/Sub allows: renditions wait for idle workers, and each delivery that finds none counts.
  renditions_max_delivery_attempts = 100
}

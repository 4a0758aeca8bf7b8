data "google_project" "this" {
  project_id = var.project_id
}

# Asking for it also makes it: a project has no such account before its first question. Nothing is waited for (its API is
# on since bootstrap), so that the account is known in every plan.
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

  # A name for the processor that is known before its URL is: the token's audience, on both sides.
  processor_audience = "https://image-processor.${var.project_id}.internal"

  # Likewise for image-tasks.
  tasks_audience = "https://image-tasks.${var.project_id}.internal"

  # Who is called to sweep: the processor of the release before, until image-tasks is there.
  sweeper = var.images.tasks == null ? { uri = module.image_processor.uri, audience = local.processor_audience } : { uri = module.image_tasks[0].uri, audience = local.tasks_audience }

  # A bucket of somebody else's making, that models are brought to.
  model_bucket = try(regex("^gs://([^/]+)", coalesce(var.processor.model_path, var.processor.embedding_model_path))[0], null)

  # Rows of the capability table that are granted only where they are asked for.
  asked_for = {
    "a model"                       = local.model_bucket != null
    "Cloud Vision"                  = var.vision.enabled
    "housekeeping in the processor" = var.images.tasks == null
  }

  # Every service, by its name. What is the same for each is made from these three: grants, database users, connections,
  # alerts. One that comes with a later release is made by the first apply that has an image of it: `optional(string)` in
  # var.images, `count = var.images.x == null ? 0 : 1` at its module, and here `one(module.image_x[*])`.
  services = { for name, service in {
    image-api       = module.image_api
    image-processor = module.image_processor
    image-tasks     = one(module.image_tasks[*])
  } : name => service if service != null }

  # Apart from the services themselves: the database's users come before them. For one with `count` that is
  # `var.images.x == null ? null : module.image_x[0].service_account_email`, since `[*]` would wait for all of it.
  service_accounts = {
    image-api       = module.image_api.service_account_email
    image-processor = module.image_processor.service_account_email
    image-tasks     = var.images.tasks == null ? null : module.image_tasks[0].service_account_email
  }

  # What the configuration says of each, whether it is there or not.
  service_settings = {
    image-api       = var.api
    image-processor = var.processor
    image-tasks     = var.tasks
  }

  absent_services = toset([for name, email in local.service_accounts : name if email == null])

  # How long a service works on one request. Whatever waits for it, or has to end before it, follows from this.
  request_seconds = { api = 300, processor = 300, tasks = 300 }

  # After so many deliveries a message goes to the dead letters, and the processor says so with the last of them.
  max_delivery_attempts = 10
}

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

  # A bucket of somebody else's making, that models are brought to.
  model_bucket = try(regex("^gs://([^/]+)", coalesce(var.processor.model_path, var.processor.embedding_model_path))[0], null)

  # Rows of the capability table that are granted only where they are asked for.
  asked_for = { "a model" = local.model_bucket != null, "Cloud Vision" = var.vision.enabled }

  # Every service. What is the same for each of them, such as alerts, connections and grants, is made from this.
  services = {
    api       = module.image_api
    processor = module.image_processor
  }
}

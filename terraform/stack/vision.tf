resource "google_project_service" "vision" {
  count = var.vision.enabled ? 1 : 0

  project = var.project_id
  service = "vision.googleapis.com"

  # As in apis.tf.
  disable_on_destroy = false
}

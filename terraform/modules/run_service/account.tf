resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = var.name
  display_name = var.name
  description  = var.purpose
}

locals {
  # Composed rather than read from the account, so that plans and tests know every grant before the account exists.
  email = "${google_service_account.this.account_id}@${var.project_id}.iam.gserviceaccount.com"
}

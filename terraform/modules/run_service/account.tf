resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = var.name
  display_name = var.name
  description  = var.purpose
}

locals {
  # Written out because it is known before the account is made, so that a plan and a test can show every grant.
  email = "${google_service_account.this.account_id}@${var.project_id}.iam.gserviceaccount.com"
}

locals {
  accounts = {
    plan   = "Reads the project and its state, to show what an apply would change."
    apply  = "Applies the configuration, after an approval."
    deploy = "Pushes images and moves traffic to them."
  }

  # Every workflow of the repository may plan. Jobs that apply or deploy must run in that environment, from that branch
  # or tag and in that workflow, because the rules of an environment are set in GitHub and may be missing.
  principals = {
    plan   = "attribute.repository_id/${var.repository.repository_id}"
    apply  = "attribute.deployment/${var.environments.apply}:refs/heads/main:infra-apply.yml"
    deploy = "attribute.deployment/${var.environments.deploy}:${var.deploy_ref}:deploy.yml"
  }

  # Composed rather than read from the account, so that plans and tests know every grant before the account exists.
  emails = { for key, account in google_service_account.this : key => "${account.account_id}@${var.project_id}.iam.gserviceaccount.com" }
}

resource "google_service_account" "this" {
  for_each = local.accounts

  project      = var.project_id
  account_id   = "github-${each.key}"
  display_name = "github-${each.key}"
  description  = each.value
}

resource "google_service_account_iam_member" "workflow" {
  for_each = local.principals

  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.emails[each.key]}"
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/${each.value}"
}

resource "google_iam_workload_identity_pool" "github" {
  project                   = var.project_id
  workload_identity_pool_id = "github"
  display_name              = "GitHub Actions"
  description               = "Workflows of one repository, without keys."
  disabled                  = false
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:The check knows only the old subject format; the condition below uses the immutable IDs of repository and owner.
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "actions"
  display_name                       = "GitHub Actions"
  description                        = "Tokens of GitHub Actions, of one repository only."

  # Repository and owner by ID: the subject contains names, which can change hands.
  attribute_condition = "assertion.repository_owner_id == '${var.repository.repository_owner_id}' && assertion.repository_id == '${var.repository.repository_id}'"

  attribute_mapping = {
    "google.subject"                = "assertion.sub"
    "attribute.repository_id"       = "assertion.repository_id"
    "attribute.repository_owner_id" = "assertion.repository_owner_id"
    # Environment, branch or kind of tag, and workflow file. A job outside an environment does not have this claim.
    "attribute.deployment" = "has(assertion.environment) ? assertion.environment + ':' + (assertion.ref.startsWith('refs/tags/v') ? 'refs/tags/v' : assertion.ref) + ':' + assertion.workflow_ref.extract('/.github/workflows/{file}@') : ''"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

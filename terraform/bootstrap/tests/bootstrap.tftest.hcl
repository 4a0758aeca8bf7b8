mock_provider "google" {
  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/123456789012/locations/global/workloadIdentityPools/github" }
  }

  mock_resource "google_iam_workload_identity_pool_provider" {
    override_during = plan
    defaults        = { name = "projects/123456789012/locations/global/workloadIdentityPools/github/providers/actions" }
  }
}

variables {
  project_id        = "example-project"
  region            = "europe-west1"
  environment       = "dev"
  repository        = { repository_id = "123456789", repository_owner_id = "987654" }
  state_bucket_name = "example-project-terraform"
}

run "state_is_versioned" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.versioning[0].enabled
    error_message = "An overwritten state is gone."
  }
}

run "state_is_never_public" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.public_access_prevention == "enforced" && google_storage_bucket.state.uniform_bucket_level_access
    error_message = "The state could be made public."
  }
}

run "state_survives_a_destroy" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.force_destroy == false
    error_message = "A destroy empties the bucket."
  }
}

run "state_can_be_brought_back_for_a_month" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.soft_delete_policy[0].retention_duration_seconds == 2592000
    error_message = "A deleted state is gone at once."
  }
}

run "apis_stay_on" {
  command = plan

  assert {
    condition     = alltrue([for api in google_project_service.this : api.disable_on_destroy == false])
    error_message = "A destroy switches APIs off."
  }
}

run "planning_holds_exactly_its_roles" {
  command = plan

  assert {
    condition     = sort([for grant in google_project_iam_member.table : grant.role if grant.member == "serviceAccount:github-plan@example-project.iam.gserviceaccount.com"]) == tolist(["projects/example-project/roles/imageManagerPlan", "roles/certificatemanager.viewer", "roles/cloudscheduler.viewer", "roles/cloudsql.viewer", "roles/compute.viewer", "roles/iam.securityReviewer", "roles/iam.serviceAccountViewer", "roles/logging.viewer", "roles/memorystore.viewer", "roles/monitoring.viewer", "roles/pubsub.viewer", "roles/run.viewer", "roles/secretmanager.viewer", "roles/servicenetworking.viewer", "roles/serviceusage.serviceUsageConsumer", "roles/storage.bucketViewer"])
    error_message = "The account to plan holds other roles."
  }
}

run "applying_holds_exactly_its_roles" {
  command = plan

  assert {
    condition     = sort([for grant in google_project_iam_member.table : grant.role if grant.member == "serviceAccount:github-apply@example-project.iam.gserviceaccount.com"]) == tolist(["roles/certificatemanager.owner", "roles/cloudscheduler.admin", "roles/cloudsql.admin", "roles/compute.loadBalancerAdmin", "roles/compute.networkAdmin", "roles/compute.securityAdmin", "roles/iam.serviceAccountAdmin", "roles/logging.configWriter", "roles/memorystore.admin", "roles/monitoring.editor", "roles/pubsub.admin", "roles/resourcemanager.projectIamAdmin", "roles/run.admin", "roles/secretmanager.admin", "roles/serviceusage.serviceUsageAdmin", "roles/storage.admin"])
    error_message = "The account to apply holds other roles."
  }
}

run "deploying_only_reads_logs_of_the_project" {
  command = plan

  assert {
    condition     = [for grant in google_project_iam_member.table : grant.role if strcontains(grant.member, "github-deploy")] == ["roles/monitoring.viewer"]
    error_message = "The account to deploy holds another role on the project."
  }
}

run "no_role_is_basic" {
  command = plan

  assert {
    condition     = length([for grant in google_project_iam_member.table : grant if contains(["roles/owner", "roles/editor", "roles/viewer"], grant.role)]) == 0
    error_message = "A basic role is granted."
  }
}

run "nobody_mints_tokens_of_every_account" {
  command = plan

  assert {
    condition     = length([for grant in google_project_iam_member.table : grant if contains(["roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser", "roles/iam.serviceAccountKeyAdmin"], grant.role)]) == 0
    error_message = "An account may act as every other."
  }
}

run "applying_grants_only_what_the_stack_grants" {
  command = plan

  assert {
    condition     = google_project_iam_member.table["github-apply roles/resourcemanager.projectIamAdmin project"].condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/cloudsql.client', 'roles/cloudsql.instanceUser'])"
    error_message = "The account to apply may make itself owner."
  }
}

run "planning_only_reads_the_state" {
  command = plan

  assert {
    condition     = toset([for grant in google_storage_bucket_iam_member.table : "${grant.member} ${grant.role}"]) == toset(["serviceAccount:github-plan@example-project.iam.gserviceaccount.com roles/storage.objectViewer"])
    error_message = "Somebody else holds the state."
  }
}

run "only_deploying_pushes_images" {
  command = plan

  assert {
    condition     = toset([for grant in google_artifact_registry_repository_iam_member.table : "${grant.member} ${grant.role}"]) == toset(["serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/artifactregistry.reader", "serviceAccount:github-deploy@example-project.iam.gserviceaccount.com roles/artifactregistry.writer"])
    error_message = "Somebody else pushes images, or an apply may not make a revision of them."
  }
}

run "custom_role_only_reads" {
  command = plan

  assert {
    condition     = google_project_iam_custom_role.table["custom/imageManagerPlan"].permissions == toset(["networkconnectivity.serviceConnectionPolicies.get"])
    error_message = "The role to plan allows something else."
  }
}

run "nobody_holds_a_billing_account_without_a_budget" {
  command = plan

  assert {
    condition     = length(google_billing_account_iam_member.table) == 0
    error_message = "A workflow holds the billing account."
  }
}

run "budget_is_read_by_plans_and_kept_by_applies" {
  command = plan

  variables {
    billing_account = "012345-6789AB-CDEF01"
  }

  assert {
    condition     = toset([for grant in google_billing_account_iam_member.table : "${grant.billing_account_id} ${grant.member} ${grant.role}"]) == toset(["012345-6789AB-CDEF01 serviceAccount:github-apply@example-project.iam.gserviceaccount.com roles/billing.costsManager", "012345-6789AB-CDEF01 serviceAccount:github-plan@example-project.iam.gserviceaccount.com roles/billing.viewer"])
    error_message = "Plans and applies do not reach the budget."
  }
}

run "malformed_billing_account_is_refused" {
  command = plan

  variables {
    billing_account = "mine"
  }

  expect_failures = [var.billing_account]
}

run "dev_is_deployed_from_main" {
  command = plan

  assert {
    condition     = endswith(module.github_federation.principals["deploy"], ":refs/heads/main:deploy.yml")
    error_message = "Dev is deployed from elsewhere."
  }
}

run "prod_is_deployed_from_tags" {
  command = plan

  variables {
    environment = "prod"
  }

  assert {
    condition     = endswith(module.github_federation.principals["deploy"], "/prod:refs/tags/v:deploy.yml") && endswith(module.github_federation.principals["apply"], "/infra-prod:refs/heads/main:infra-apply.yml")
    error_message = "Prod is deployed from elsewhere than a tag, or applied to from elsewhere than main."
  }
}

run "workflows_are_told_where_images_go" {
  command = plan

  assert {
    condition     = output.github_variables["GCP_IMAGE_REPOSITORY"] == "europe-west1-docker.pkg.dev/example-project/images"
    error_message = "The workflows push elsewhere."
  }
}

run "unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "staging"
  }

  expect_failures = [var.environment]
}

run "repository_by_name_is_refused" {
  command = plan

  variables {
    repository = { repository_id = "owner/name", repository_owner_id = "1" }
  }

  expect_failures = [var.repository]
}

run "malformed_bucket_is_refused" {
  command = plan

  variables {
    state_bucket_name = "State"
  }

  expect_failures = [var.state_bucket_name]
}

run "zone_is_refused" {
  command = plan

  variables {
    region = "europe-west1-b"
  }

  expect_failures = [var.region]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}
